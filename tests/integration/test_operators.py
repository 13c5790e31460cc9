"""Operators that a layer launches where it is not on the CPU: on a GPU each costs microseconds, whatever its size."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from oponm.nn import AuxBatchNorm2d, DARBatchNorm2d, noise_routing

# Forward and backward; more has to be a decision, and where it is fewer, the number here goes down.
EXPECTED = {
    (DARBatchNorm2d, "none"): (32, 35),
    (DARBatchNorm2d, "input"): (32, 33),
    (DARBatchNorm2d, "full"): (32, 33),
    (AuxBatchNorm2d, "none"): (45, 36),
    (AuxBatchNorm2d, "input"): (45, 34),
    (AuxBatchNorm2d, "full"): (45, 32),
}


class Launches(TorchDispatchMode):
    """Counts operators that compute, which views do not."""

    def __init__(self):
        super().__init__()
        self.names = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        made = operator(*args, **(kwargs or {}))
        if not operator.is_view and all(tensor.is_meta for tensor in tree_leaves(made)):  # no number on the CPU
            self.names[operator.overloadpacket.__name__] += 1
        return made


def launched(layers, mask):
    """Operators of the last layer's forward pass, and of its backward pass."""
    x = torch.empty(16, 8, 4, 4, device="meta", requires_grad=True)
    with noise_routing(mask):
        for layer in layers[:-1]:
            layer(x.detach())
        with Launches() as forward:
            y = layers[-1](x)
        gradient = torch.empty_like(y)
        with Launches() as backward:
            y.backward(gradient)
    return forward.names.total(), backward.names.total()


@pytest.mark.parametrize(("kind", "noise_grad"), EXPECTED)
def test_a_layer_launches_as_many(kind, noise_grad):
    layers = [kind(8, noise_grad=noise_grad).to("meta") for _ in range(2)]
    forward, backward = launched(layers, torch.empty(16, dtype=torch.bool, device="meta"))
    assert (forward, backward) == EXPECTED[kind, noise_grad]


def test_without_noise_it_is_a_batch_norm():
    plain, routed = torch.nn.BatchNorm2d(8).to("meta"), DARBatchNorm2d(8).to("meta")
    assert launched([routed], None) == launched([plain], None)
