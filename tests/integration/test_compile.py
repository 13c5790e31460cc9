"""torch.compile: no graph break inside a layer, one graph for every number of noise rows."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from oponm.nn import convert_batchnorm, noise_routing


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).relu()


@pytest.mark.parametrize("kind", ["dar", "aux"])
@pytest.mark.parametrize("noise_grad", ["none", "input", "full"])
@pytest.mark.parametrize("backend", ["aot_eager"])
def test_one_graph_serves_every_mask(kind, noise_grad, backend):
    torch._dynamo.reset()
    eager = convert_batchnorm(Normed(), kind, noise_grad)
    compiled_model = copy.deepcopy(eager)
    counter = CompileCounterWithBackend(backend)
    compiled = torch.compile(compiled_model, backend=counter, fullgraph=True)
    for rows in ([0], [1, 3], [0, 1, 2, 3, 4, 5], [5]):
        x = torch.randn(6, 3, 8, 8)
        is_noise = torch.zeros(6, dtype=torch.bool)
        is_noise[rows] = True
        losses = []
        for model in (eager, compiled):
            with noise_routing(is_noise):
                losses.append(model(x).square().mean())
            losses[-1].backward()
        torch.testing.assert_close(*losses)
    assert counter.frame_count == 1
    for one, other in zip(eager.parameters(), compiled_model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    for one, other in zip(eager.buffers(), compiled_model.buffers(), strict=True):
        torch.testing.assert_close(one, other)
