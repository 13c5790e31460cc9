"""DAR-BN written down a second time: float64, boolean gathers, autograd for every derivative."""

from __future__ import annotations

import torch
from torch import Tensor


def standardize(rows: Tensor, eps: float) -> Tensor:
    """Batch norm without affine parameters; the value of a group of one is 0."""
    dims = [d for d in range(rows.dim()) if d != 1]
    if rows.numel() // rows.shape[1] == 1:
        return rows * 0
    mean = rows.mean(dims, keepdim=True)
    var = ((rows - mean) ** 2).mean(dims, keepdim=True)
    return (rows - mean) / (var + eps) ** 0.5


def dar_batch_norm(
    x: Tensor,
    is_noise: Tensor,
    weight: Tensor,
    bias: Tensor,
    noise_grad: str,
    eps: float = 1e-5,
    noise_weight: Tensor | None = None,
    noise_bias: Tensor | None = None,
) -> Tensor:
    x = x.double()
    shape = [1, -1] + [1] * (x.dim() - 2)
    gamma, beta = weight.double().view(shape), bias.double().view(shape)
    noise_gamma = gamma if noise_weight is None else noise_weight.double().view(shape)
    noise_beta = beta if noise_bias is None else noise_bias.double().view(shape)
    natural, noise = x[~is_noise], x[is_noise]
    if noise_grad != "full":
        noise_gamma, noise_beta = noise_gamma.detach(), noise_beta.detach()
    if noise_grad == "none":
        noise = noise.detach()
    output = torch.empty_like(x)
    if len(natural):
        output[~is_noise] = standardize(natural, eps) * gamma + beta
    if len(noise):
        output[is_noise] = standardize(noise, eps) * noise_gamma + noise_beta
    return output
