"""The choice of the kernel that routed batch norm runs on: torch's operators, or fused Triton kernels."""

from __future__ import annotations

import importlib.util
import os

import torch
from torch import Tensor

from oponm.errors import InputError, check_choice

VARIABLE = "OPONM_KERNEL"
KERNELS = ("auto", "torch", "triton")
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@torch.compiler.assume_constant_result
def chosen_kernel() -> str:
    """Return the kernel that the environment variable ``OPONM_KERNEL`` chooses.

    ``torch`` is torch's operators, ``triton`` the kernels of :mod:`oponm.nn.triton_kernels`. ``auto``, the default, is
    ``torch`` in this version, on any device. Results of the two differ in the last digits.

    Returns:
        ``"torch"`` or ``"triton"``.

    Raises:
        InputError: for another value; and for ``triton`` where Triton or a GPU is missing. Triton's interpreter
            (``TRITON_INTERPRET=1``) needs no GPU.

    Example:
        >>> chosen_kernel()
        'torch'
    """
    kernel = check_choice(VARIABLE, os.environ.get(VARIABLE) or "auto", KERNELS)
    if kernel != "triton":
        return "torch"
    if importlib.util.find_spec("triton") is None:
        raise InputError(
            f"is triton, and Triton is not installed: pip install triton, or set {VARIABLE}=torch", VARIABLE
        )
    if not torch.cuda.is_available() and not _interpreted():
        raise InputError(f"is triton, and there is no GPU for it: set {VARIABLE}=torch", VARIABLE)
    return kernel


def runs_on_triton(x: Tensor) -> bool:
    """Whether Triton kernels are chosen and can take a tensor: on a GPU, of float32 or half precision, not empty.

    Args:
        x: a layer's input.

    Example:
        >>> runs_on_triton(torch.ones(2, 3, dtype=torch.float64))
        False
    """
    if chosen_kernel() != "triton" or x.dtype not in _DTYPES or x.numel() == 0:
        return False
    return x.is_cuda or (x.device.type == "cpu" and _interpreted())


@torch.compiler.assume_constant_result
def _interpreted() -> bool:
    import triton

    return bool(triton.knobs.runtime.interpret)
