from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from oponm.data.augmentation import flip_crop
from oponm.data.noise import make_noise
from oponm.data.pipeline import DevicePipeline, RawBatch, ResidentImages
from oponm.data.samplers import IndexBatch
from oponm.data.statistics import Statistics
from oponm.noise import AppendNoise, Batch, GaussianNoise

STATISTICS = Statistics((0.3, 0.5, 0.6), (0.1, 0.2, 0.05))
COUNTS = [100, 10, 1]
IDENTITY = {"seed": 3, "epoch": 4, "step": 5, "rank": 0}


class Black(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(images)


class Jitter(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images + torch.rand(images.shape)) / 2


def raw_batch(rows: int = 96, size: int = 8, epoch: int = 0, step: int = 0) -> RawBatch:
    source = torch.Generator().manual_seed(0)
    images = torch.randint(256, (rows, 3, size, size), generator=source, dtype=torch.uint8)
    return RawBatch(images, torch.arange(rows) % 3, epoch, step)


def pipeline(augmentation: nn.Module | None = None, delta: float | None = 1.0, seed: int = 0) -> DevicePipeline:
    transform = None if delta is None else make_noise(STATISTICS, COUNTS, list, delta=delta)
    return DevicePipeline(nn.Identity() if augmentation is None else augmentation, transform, STATISTICS, seed)


def in_pixel_space(images: torch.Tensor) -> torch.Tensor:
    return images * torch.tensor(STATISTICS.std).view(-1, 1, 1) + torch.tensor(STATISTICS.mean).view(-1, 1, 1)


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)


def serve(augmentation: nn.Module, noise: bool, seed: int, epoch: int, step: int, rank: int) -> Batch:
    return pipeline(augmentation, seed=seed)(raw_batch(epoch=epoch, step=step), training=True, noise=noise, rank=rank)


@pytest.mark.parametrize("training", [True, False])
def test_pixels_are_scaled_and_normalized_by_channel(training):
    raw = raw_batch()
    batch = pipeline()(raw, training)
    expected = raw.images.numpy().astype(np.float64) / 255
    expected = (expected - np.array(STATISTICS.mean)[:, None, None]) / np.array(STATISTICS.std)[:, None, None]
    assert isinstance(batch, Batch)
    assert batch.images.dtype == torch.float32
    np.testing.assert_allclose(batch.images.numpy(), expected, atol=1e-4)
    assert torch.equal(batch.targets, raw.targets)
    assert batch.is_noise is None


def test_a_channel_of_one_color_stays_finite():
    raw = RawBatch(torch.full((2, 1, 4, 4), 51, dtype=torch.uint8), torch.tensor([0, 1]), 0, 0)
    batch = DevicePipeline(nn.Identity(), None, Statistics((0.2,), (0.0,)), seed=0)(raw, training=True)
    assert torch.isfinite(batch.images).all()
    assert batch.images.abs().max() < 1


def test_noise_rows_are_gaussian_in_pixel_space():
    batch = pipeline()(raw_batch(600, size=16), training=True, noise=True)
    noise = in_pixel_space(batch.images[batch.is_noise])
    assert len(noise) > 200
    assert noise.min() >= -1e-6
    assert noise.max() <= 1 + 1e-6
    torch.testing.assert_close(noise.mean((0, 2, 3)), torch.tensor(STATISTICS.mean), atol=3e-3, rtol=0)
    torch.testing.assert_close(noise.std((0, 2, 3)), torch.tensor(STATISTICS.std), atol=3e-3, rtol=0)


def test_noise_rows_are_clipped_before_the_normalization():
    statistics = Statistics((0.1, 0.5, 0.9), (0.5, 0.5, 0.5))
    replace = make_noise(statistics, COUNTS, list, delta=1.0)
    batch = DevicePipeline(nn.Identity(), replace, statistics, seed=0)(raw_batch(), training=True, noise=True)
    noise = batch.images[batch.is_noise]
    for channel, mean in enumerate(statistics.mean):
        assert noise[:, channel].min().item() == pytest.approx(-mean / 0.5, abs=1e-5)
        assert noise[:, channel].max().item() == pytest.approx((1 - mean) / 0.5, abs=1e-5)


def test_natural_rows_are_augmented_and_noise_rows_are_not():
    plain, black = (pipeline(augmentation)(raw_batch(), training=True, noise=True) for augmentation in (None, Black()))
    assert torch.equal(plain.is_noise, black.is_noise)
    assert 0 < plain.is_noise.sum() < len(plain.targets)
    assert torch.equal(plain.images[plain.is_noise], black.images[plain.is_noise])
    natural = in_pixel_space(black.images[~black.is_noise])
    torch.testing.assert_close(natural, torch.zeros_like(natural), atol=1e-6, rtol=0)


def test_noise_leaves_natural_rows_alone():
    without, with_noise = (
        pipeline(flip_crop((8, 8)))(raw_batch(), training=True, noise=noise) for noise in (False, True)
    )
    kept = ~with_noise.is_noise
    assert torch.equal(with_noise.images[kept], without.images[kept])
    assert torch.equal(with_noise.targets, without.targets)


@pytest.mark.parametrize(
    ("delta", "noise"), [(1.0, False), (None, True), (None, False)], ids=["not asked for", "no transform", "neither"]
)
def test_without_noise_there_is_no_mask(delta, noise):
    assert pipeline(delta=delta)(raw_batch(), training=True, noise=noise).is_noise is None


def test_noise_may_be_appended():
    append = AppendNoise(0.25, 3, GaussianNoise(*STATISTICS))
    batch = DevicePipeline(nn.Identity(), append, STATISTICS, seed=0)(raw_batch(96), training=True, noise=True)
    assert batch.images.shape == (120, 3, 8, 8)
    assert torch.equal(batch.is_noise, torch.arange(120) >= 96)
    assert torch.equal(batch.images[:96], pipeline()(raw_batch(96), training=False).images)


@pytest.mark.parametrize("augmentation", [nn.Identity, partial(flip_crop, (8, 8)), Jitter])
@pytest.mark.parametrize("noise", [True, False])
def test_the_same_identity_gives_the_same_batch_to_the_bit(augmentation, noise):
    first = serve(augmentation(), noise, **IDENTITY)
    torch.rand(7)
    again = serve(augmentation(), noise, **IDENTITY)
    assert same(first, again)
    assert first.is_noise is again.is_noise is None or torch.equal(first.is_noise, again.is_noise)


@pytest.mark.parametrize("part", IDENTITY)
def test_any_part_of_the_identity_changes_the_augmentation(part):
    other = {**IDENTITY, part: IDENTITY[part] + 1}
    assert not same(serve(Jitter(), False, **IDENTITY), serve(Jitter(), False, **other))


@pytest.mark.parametrize("part", IDENTITY)
def test_any_part_of_the_identity_changes_the_noise(part):
    first, other = (serve(Black(), True, **identity) for identity in (IDENTITY, {**IDENTITY, part: IDENTITY[part] + 1}))
    assert not torch.equal(first.is_noise, other.is_noise)
    both = first.is_noise & other.is_noise
    assert both.any()
    assert not torch.equal(first.images[both], other.images[both])


@pytest.mark.parametrize("noise", [False, True])
def test_parts_of_the_identity_do_not_stand_in_for_one_another(noise):
    augmentation = Black() if noise else Jitter()
    parts = [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)]
    served = {
        serve(augmentation, noise, seed=0, epoch=epoch, step=step, rank=rank).images.numpy().tobytes()
        for epoch, step, rank in parts
    }
    assert len(served) == len(parts)


def test_one_pipeline_serves_steps_in_any_order():
    shared = pipeline(Jitter())
    steps = [shared(raw_batch(step=step), training=True, noise=True) for step in (0, 1, 0)]
    assert same(steps[0], steps[2])
    assert not same(steps[0], steps[1])


@pytest.mark.parametrize("augmentation", [Black(), Jitter(), flip_crop((8, 8))], ids=["black", "jitter", "flip_crop"])
def test_evaluation_is_neither_augmented_nor_mixed(augmentation):
    batch = pipeline(augmentation)(raw_batch(epoch=1, step=2), training=False, noise=True)
    assert batch.is_noise is None
    assert same(batch, pipeline()(raw_batch(), training=False))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("noise", [True, False])
def test_the_stored_pixels_stay(training, noise):
    raw = raw_batch()
    before = raw.images.clone(), raw.targets.clone()
    pipeline(flip_crop((8, 8)))(raw, training, noise)
    assert raw.images.dtype == torch.uint8
    assert torch.equal(raw.images, before[0])
    assert torch.equal(raw.targets, before[1])


@pytest.mark.parametrize("augmentation", [Jitter(), flip_crop((8, 8))], ids=["jitter", "flip_crop"])
def test_no_global_generator_is_touched(augmentation):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    pipeline(augmentation)(raw_batch(), training=True, noise=True)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # noqa: NPY002


def test_a_batch_carries_no_gradient():
    batch = pipeline(nn.Conv2d(3, 3, 1))(raw_batch(), training=True, noise=True)
    assert not batch.images.requires_grad


def test_resident_images_are_read_a_batch_at_a_time():
    raw = raw_batch(10)
    data = ResidentImages(raw.images, raw.targets)
    indices = torch.tensor([7, 0, 7, 2])
    batch = data.__getitems__(IndexBatch(indices, epoch=3, step=9))
    assert len(data) == 10
    assert torch.equal(batch.images, raw.images[indices])
    assert torch.equal(batch.targets, raw.targets[indices])
    assert (batch.epoch, batch.step) == (3, 9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_identity_decides_on_cuda_too():
    raw = raw_batch()
    on_device = raw._replace(images=raw.images.cuda(), targets=raw.targets.cuda())
    served = [pipeline(flip_crop((8, 8))).cuda()(on_device, training=True, noise=True) for _ in range(2)]
    assert served[0].images.device.type == served[0].is_noise.device.type == "cuda"
    assert same(*served)
