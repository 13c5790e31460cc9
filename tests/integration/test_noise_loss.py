"""The weight of noise rows in training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from oponm.losses import CrossEntropy, batch_loss
from oponm.noise import Batch
from oponm.training import LongTailModule, Phase, PhasePlan, train
from tests.training.small import make_data, make_module, run

COUNTS = [100, 40, 10, 3]
IMAGES = 7
NOISE = {  # which rows are noise
    "some": [1, 0, 1, 1, 0, 0, 0],
    "all": [1] * 7,
    "none": [0] * 7,
}
PHASES = [
    Phase(1, noise=True, noise_loss=weight, class_weights=classes)
    for weight in (0.0, 0.4, 1.0)
    for classes in ("none", "inverse_frequency")
]
CASES = [(name, place) for name in NOISE for place in range(len(PHASES))]


def module_and_batch(name: str, place: int) -> tuple[LongTailModule, Batch]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(IMAGES, 1, 3, 3, generator=generator, dtype=torch.float64)
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, len(COUNTS), bias=False)).double()
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(len(COUNTS), 9, generator=generator))
    module = LongTailModule(network, class_counts=COUNTS)
    module.to(torch.float64)
    module._trainer = SimpleNamespace(current_epoch=0, global_rank=0, world_size=1)
    module.follow(PHASES[place])
    return module, Batch(images, torch.arange(IMAGES) % len(COUNTS), torch.tensor(NOISE[name]).bool())


@pytest.mark.parametrize(("name", "place"), CASES)
def test_one_process_minimizes_the_formula(name, place):
    module, batch = module_and_batch(name, place)
    phase, loss = PHASES[place], module.training_step(batch, 0).detach()
    weighing = (batch.targets, module.class_weights, None, None, batch.is_noise, phase.noise_loss)
    assert torch.equal(loss, batch_loss(CrossEntropy(COUNTS), module(batch.images), *weighing))
    assert bool(loss == 0) == (name == "all" and phase.noise_loss == 0)


def weights_after(folder: Path, **options) -> dict[str, Tensor]:
    phases = [Phase(1), Phase(1, "class_balanced", noise=True, **options)]
    return run(folder, phases)[0].model.state_dict()


def test_a_weight_of_1_trains_to_the_same_bits_and_another_does_not(tmp_path):
    plain, given, other = (
        weights_after(tmp_path / str(number), **options)
        for number, options in enumerate([{}, {"noise_loss": 1}, {"noise_loss": 0.5}])
    )
    assert all(torch.equal(tensor, given[name]) for name, tensor in plain.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in plain.items())


def test_noise_that_the_loss_leaves_out_teaches_nothing(tmp_path):
    """With statistics of its own, what noise looks like then does not matter."""

    def trained(folder: Path, mean: float) -> dict[str, Tensor]:
        data = make_data()
        data.pipeline.noise_transform = _Replace(mean)
        module = make_module(data)
        phases = [Phase(1, "class_balanced", noise=True, noise_loss=0)]
        train(module, data, PhasePlan(phases, 1), folder, accelerator="cpu")
        return module.model.state_dict()

    dark, bright = trained(tmp_path / "dark", 0.1), trained(tmp_path / "bright", 0.9)
    assert all(torch.equal(tensor, bright[name]) for name, tensor in dark.items())


class _Replace(nn.Module):
    """Puts noise around a mean in place of every third image."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.mean = mean

    def forward(self, images: Tensor, targets: Tensor, generator: torch.Generator, progress: float) -> Batch:
        noise = torch.arange(len(images)) % 3 == 0
        drawn = self.mean + 0.1 * torch.randn(images.shape, generator=generator)
        return Batch(torch.where(noise.view(-1, 1, 1, 1), drawn, images), targets, noise)
