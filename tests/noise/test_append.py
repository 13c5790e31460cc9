from __future__ import annotations

import pytest
import torch

from oponm.errors import InputError
from oponm.noise import AppendNoise, GaussianNoise

NOISE = GaussianNoise([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616])


def generator(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device=device).manual_seed(seed)


def batch_of(rows: int = 128, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(rows, 3, 8, 8, generator=generator(100), dtype=torch.float64).to(dtype)
    return images, torch.randint(10, (rows,), generator=generator(101))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_the_papers_batch_of_128_becomes_160_rows(dtype):
    images, targets = batch_of(dtype=dtype)
    before = images.clone(), targets.clone()
    batch = AppendNoise(1 / 4, 10, NOISE)(images, targets, generator())
    assert batch.images.shape == (160, 3, 8, 8)
    assert batch.images.dtype == dtype
    assert torch.equal(batch.images[:128], before[0])
    assert batch.targets.dtype == torch.int64
    assert torch.equal(batch.targets[:128], before[1])
    assert batch.is_noise.tolist() == [False] * 128 + [True] * 32
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_every_precision_gets_the_same_noise(dtype):
    append = AppendNoise(1 / 4, 10, NOISE)
    reference, result = (append(*batch_of(dtype=d), generator()) for d in (torch.float32, dtype))
    assert torch.equal(result.targets, reference.targets)
    assert torch.equal(result.images[128:], reference.images[128:].to(dtype))


def test_the_noise_has_its_own_distribution():
    images = AppendNoise(8.0, 10, NOISE)(*batch_of(), generator()).images[128:]
    clipped = NOISE(torch.zeros(1024), (3, 8, 8), generator(1))
    torch.testing.assert_close(images.mean((0, 2, 3)), clipped.mean((0, 2, 3)), atol=1e-2, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3)), clipped.std((0, 2, 3)), atol=1e-2, rtol=0)


@pytest.mark.parametrize("num_classes", [1, 2, 10, 100])
def test_labels_are_uniform(num_classes):
    append = AppendNoise(1000.0, num_classes, GaussianNoise([0.5], [0.2]))
    labels = append(torch.zeros(50, 1, 1, 1), torch.zeros(50, dtype=torch.long), generator()).targets[50:]
    counts = torch.bincount(labels, minlength=num_classes)
    assert counts.shape == (num_classes,)
    expected = 50_000 / num_classes
    assert (counts - expected).abs().max() <= 5 * expected**0.5


@pytest.mark.parametrize(
    ("ratio", "rows", "extra"), [(0.25, 4, 1), (0.25, 5, 1), (0.25, 7, 2), (0.3, 10, 3), (1, 6, 6), (2.5, 4, 10)]
)
def test_the_number_of_noise_rows_is_rounded(ratio, rows, extra):
    batch = AppendNoise(ratio, 10, NOISE)(*batch_of(rows), generator())
    assert batch.is_noise.tolist() == [False] * rows + [True] * extra
    assert len(batch.images) == len(batch.targets) == rows + extra


@pytest.mark.parametrize(
    ("progress", "extra"), [(0, 0), (0.01, 0), (0.1, 3), (0.5, 16), (0.7, 22), (1, 32), (None, 32)]
)
def test_a_linear_ramp_appends_as_much_as_has_passed(progress, extra):
    append = AppendNoise(1 / 4, 10, NOISE, ramp="linear")
    batch = append(*batch_of(), generator(), **({} if progress is None else {"progress": progress}))
    assert batch.is_noise.tolist() == [False] * 128 + [True] * extra
    assert len(batch.images) == len(batch.targets) == 128 + extra


@pytest.mark.parametrize("progress", [0.0, 0.3])
def test_a_constant_ramp_does_not_see_the_progress(progress):
    append = AppendNoise(1 / 4, 10, NOISE)
    one, other = append(*batch_of(), generator(), progress), append(*batch_of(), generator())
    for part, same in zip(one[:3], other[:3], strict=True):
        assert torch.equal(part, same)


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_a_progress_out_of_range_is_refused(progress):
    with pytest.raises(InputError, match=r"progress must lie in \[0, 1\]"):
        AppendNoise(1 / 4, 10, NOISE, ramp="linear")(*batch_of(), generator(), progress)


def test_an_unknown_ramp_is_refused():
    with pytest.raises(InputError, match="ramp must be one of constant, linear, got 'cosine'"):
        AppendNoise(1 / 4, 10, NOISE, ramp="cosine")


def test_a_ratio_of_zero_changes_nothing():
    images, targets = batch_of()
    batch = AppendNoise(0, 10, NOISE)(images, targets, generator())
    assert torch.equal(batch.images, images)
    assert torch.equal(batch.targets, targets)
    assert batch.is_noise.tolist() == [False] * 128


def test_an_empty_batch_stays_empty():
    batch = AppendNoise(1 / 4, 10, NOISE)(*batch_of(0), generator())
    assert batch.images.shape == (0, 3, 8, 8)
    assert batch.targets.shape == batch.is_noise.shape == (0,)


def test_the_seed_decides():
    append = AppendNoise(1 / 4, 10, NOISE)
    first, again, other = (append(*batch_of(), generator(seed)) for seed in (1, 1, 2))
    for one, same in zip(first[:3], again[:3], strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(first.targets[128:], other.targets[128:])
    assert not torch.equal(first.images[128:], other.images[128:])


def test_no_hidden_generator_is_touched():
    append, batch = AppendNoise(1 / 4, 10, NOISE), batch_of()
    before = torch.get_rng_state()
    append(*batch, generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_noise_sees_the_labels_it_gets():
    def by_class(targets: torch.Tensor, image_shape: tuple[int, ...], source: torch.Generator) -> torch.Tensor:
        return targets.float()[:, None, None, None].expand(-1, *image_shape)

    batch = AppendNoise(1.0, 10, by_class)(*batch_of(), generator())
    assert torch.equal(batch.images[128:, 0, 0, 0], batch.targets[128:].float())


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_of_other_channels_are_refused(channels):
    append = AppendNoise(1 / 4, 10, NOISE)
    with pytest.raises((InputError, RuntimeError)):
        append(torch.rand(8, channels, 4, 4), torch.zeros(8, dtype=torch.long), generator())


@pytest.mark.parametrize(
    ("ratio", "num_classes", "words"),
    [
        (-0.1, 10, "ratio must be a number of at least 0, got -0.1"),
        (float("nan"), 10, "ratio must be"),
        ("1/4", 10, "ratio must be"),
        (0.25, 0, "num_classes must be a whole number of at least 1, got 0"),
        (0.25, 10.0, "num_classes must be"),
    ],
)
def test_bad_settings_are_refused(ratio, num_classes, words):
    with pytest.raises(InputError, match=words):
        AppendNoise(ratio, num_classes, NOISE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("source", ["cpu", "cuda"])
def test_the_seed_decides_on_cuda(source):
    append = AppendNoise(1 / 4, 10, NOISE).to("cuda")
    images, targets = (tensor.to("cuda") for tensor in batch_of())
    first, again, other = (append(images, targets, generator(seed, source)) for seed in (1, 1, 2))
    assert {tensor.device.type for tensor in first[:3]} == {"cuda"}
    for one, same in zip(first[:3], again[:3], strict=True):
        assert torch.equal(one, same)
    assert not torch.equal(first.images, other.images)
