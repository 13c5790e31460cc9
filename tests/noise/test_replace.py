from __future__ import annotations

import pytest
import torch

from oponm.errors import InputError
from oponm.noise import Batch, GaussianNoise, ReplaceWithNoise

COUNTS = [5000, 500, 50, 5000, 5]
NOISE = GaussianNoise([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616])
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


def generator(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device=device).manual_seed(seed)


def batch_of(rows: int = 64, size: int = 8, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.rand(rows, 3, size, size, generator=generator(100), dtype=torch.float64).to(dtype)
    return images, torch.randint(len(COUNTS), (rows,), generator=generator(101))


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("delta", [1 / 3, 1.0])
def test_noise_rows_and_only_those_are_replaced(dtype, delta):
    images, targets = batch_of(dtype=dtype)
    result = ReplaceWithNoise(COUNTS, delta, NOISE)(images, targets, generator())
    assert result.images.dtype == dtype
    assert result.images.shape == images.shape
    assert result.is_noise.dtype == torch.bool
    assert result.is_noise.shape == (64,)
    assert 0 < result.is_noise.sum() < 64
    changed = (result.images != images).flatten(1).any(1)
    assert torch.equal(changed, result.is_noise)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_precision_gets_the_same_noise(dtype):
    replace = ReplaceWithNoise(COUNTS, 1.0, NOISE)
    reference, result = (replace(*batch_of(dtype=d), generator()) for d in (torch.float32, dtype))
    rows = reference.is_noise
    assert torch.equal(result.is_noise, rows)
    assert torch.equal(result.images[rows], reference.images[rows].to(dtype))


def test_the_input_is_left_as_it_was():
    images, targets = batch_of()
    before = images.clone(), targets.clone()
    result = ReplaceWithNoise(COUNTS, 1.0, NOISE)(images, targets, generator())
    assert result.is_noise.any()
    assert torch.equal(images, before[0])
    assert torch.equal(targets, before[1])


def test_labels_stay():
    images, targets = batch_of()
    result = ReplaceWithNoise(COUNTS, 1.0, NOISE)(images, targets, generator()).targets
    assert result.dtype == torch.int64
    assert torch.equal(result, targets)


@pytest.mark.parametrize("delta", [1 / 6, 1 / 3, 1.0])
def test_the_share_of_noise_is_the_probability_of_the_class(delta):
    replace = ReplaceWithNoise(COUNTS, delta, GaussianNoise([0.5], [0.2]))
    draws = 20_000
    targets = torch.arange(len(COUNTS)).repeat_interleave(draws)
    is_noise = replace(torch.zeros(len(targets), 1, 1, 1), targets, generator()).is_noise
    for label, count in enumerate(COUNTS):
        share = is_noise[targets == label].double().mean().item()
        p = (1 - count / 5000) * delta
        assert abs(share - p) <= 5 * (p * (1 - p) / draws) ** 0.5


def test_rows_are_replaced_independently():
    replace = ReplaceWithNoise([100, 1], 0.5, GaussianNoise([0.5], [0.2]))
    is_noise = replace(torch.zeros(20_000, 1, 1, 1), torch.ones(20_000, dtype=torch.long), generator()).is_noise
    centered = is_noise.double() - is_noise.double().mean()
    assert abs((centered[:-1] * centered[1:]).mean().item()) < 5 * 0.25 / 20_000**0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_classes_are_never_replaced(seed):
    targets = torch.tensor([0, 3]).repeat(500)
    batch = ReplaceWithNoise(COUNTS, 1.0, NOISE)(torch.rand(1000, 3, 2, 2), targets, generator(seed))
    assert not batch.is_noise.any()


def test_a_delta_of_zero_replaces_nothing():
    images, targets = batch_of()
    batch = ReplaceWithNoise(COUNTS, 0, NOISE)(images, targets, generator())
    assert not batch.is_noise.any()
    assert torch.equal(batch.images, images)


def test_the_seed_decides():
    replace, batch = ReplaceWithNoise(COUNTS, 1 / 3, NOISE), batch_of()
    first = replace(*batch, generator(1))
    assert same(first, replace(*batch, generator(1)))
    other = replace(*batch, generator(2))
    assert not torch.equal(first.is_noise, other.is_noise)
    both = first.is_noise & other.is_noise
    assert both.any()
    assert not torch.equal(first.images[both], other.images[both])


def test_each_batch_gets_fresh_noise():
    replace, source = ReplaceWithNoise([100, 1], 1.0, NOISE), generator()
    images, targets = torch.rand(8, 3, 4, 4), torch.ones(8, dtype=torch.long)
    first, second = (replace(images, targets, source) for _ in range(2))
    both = first.is_noise & second.is_noise
    assert both.any()
    assert not torch.equal(first.images[both], second.images[both])


def test_no_hidden_generator_is_touched():
    replace, batch = ReplaceWithNoise(COUNTS, 1 / 3, NOISE), batch_of()
    before = torch.get_rng_state()
    replace(*batch, generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_any_noise_may_be_drawn():
    def by_class(targets: torch.Tensor, image_shape: tuple[int, ...], source: torch.Generator) -> torch.Tensor:
        return (2.0 + targets)[:, None, None, None].expand(-1, *image_shape)

    images, targets = batch_of()
    batch = ReplaceWithNoise(COUNTS, 1.0, by_class)(images, targets, generator())
    expected = torch.where(batch.is_noise, 2.0 + targets, images.amax((1, 2, 3)))
    assert batch.is_noise.any()
    assert torch.equal(batch.images.amax((1, 2, 3)), expected)


def test_the_noise_follows_the_image_shape():
    batch = ReplaceWithNoise([9, 1], 1.0, NOISE)(torch.rand(4, 3, 5, 7), torch.tensor([1, 0, 1, 1]), generator())
    assert batch.images.shape == (4, 3, 5, 7)


def test_an_empty_batch_stays_empty():
    batch = ReplaceWithNoise(COUNTS, 1.0, NOISE)(torch.rand(0, 3, 4, 4), torch.zeros(0, dtype=torch.long), generator())
    assert batch.images.shape == (0, 3, 4, 4)
    assert batch.targets.shape == batch.is_noise.shape == (0,)


def test_it_adds_nothing_to_a_state_dict():
    assert ReplaceWithNoise(COUNTS, 1.0, NOISE).state_dict() == {}


@pytest.mark.parametrize("channels", [2, 4, pytest.param(1, id="would broadcast")])
def test_images_of_other_channels_are_refused(channels):
    replace = ReplaceWithNoise(COUNTS, 1.0, NOISE)
    with pytest.raises((InputError, RuntimeError)):
        replace(torch.rand(4, channels, 4, 4), torch.tensor([0, 1, 2, 4]), generator())


def share_of_noise(replace: ReplaceWithNoise, progress: float, draws: int = 20_000) -> torch.Tensor:
    targets = torch.arange(len(COUNTS)).repeat_interleave(draws)
    is_noise = replace(torch.zeros(len(targets), 1, 1, 1), targets, generator(), progress).is_noise
    return is_noise.view(len(COUNTS), draws).double().mean(1)


@pytest.mark.parametrize("progress", [0, 0.25, 0.5, 1])
def test_a_linear_ramp_multiplies_the_probability_by_the_progress(progress):
    share = share_of_noise(ReplaceWithNoise(COUNTS, 0.8, GaussianNoise([0.5], [0.2]), ramp="linear"), progress)
    for label, count in enumerate(COUNTS):
        p = (1 - count / 5000) * 0.8 * progress
        assert abs(share[label].item() - p) <= 5 * (p * (1 - p) / 20_000) ** 0.5


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_a_constant_ramp_does_not_see_the_progress(progress):
    replace, batch = ReplaceWithNoise(COUNTS, 1 / 3, NOISE), batch_of()
    assert same(replace(*batch, generator(), progress), replace(*batch, generator()))


def test_the_end_of_a_linear_ramp_is_all_of_the_noise_to_the_bit():
    ramped, constant = (ReplaceWithNoise(COUNTS, 1 / 3, NOISE, ramp) for ramp in ("linear", "constant"))
    assert same(ramped(*batch_of(), generator()), constant(*batch_of(), generator()))


def test_noise_rows_only_join_as_a_ramp_goes_on():
    replace, batch = ReplaceWithNoise(COUNTS, 1.0, NOISE, ramp="linear"), batch_of()
    early, late = (replace(*batch, generator(), progress) for progress in (0.3, 0.9))
    assert 0 < early.is_noise.sum() < late.is_noise.sum()
    assert not (early.is_noise & ~late.is_noise).any()
    assert torch.equal(early.images[early.is_noise], late.images[early.is_noise])


@pytest.mark.parametrize("ramp", ["constant", "linear"])
@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan"), None], ids=repr)
def test_a_progress_out_of_range_is_refused(ramp, progress):
    with pytest.raises(InputError, match=r"progress must lie in \[0, 1\]"):
        ReplaceWithNoise(COUNTS, 1.0, NOISE, ramp)(*batch_of(), generator(), progress)


def test_uniform_labels_change_nothing_but_the_labels_of_noise_rows():
    images, targets = batch_of(512)
    of_class, uniform = (
        ReplaceWithNoise(COUNTS, 1.0, NOISE, labels=labels)(images, targets, generator())
        for labels in ("class", "uniform")
    )
    assert torch.equal(uniform.images, of_class.images)
    assert torch.equal(uniform.is_noise, of_class.is_noise)
    assert torch.equal(uniform.targets[~uniform.is_noise], targets[~uniform.is_noise])
    assert uniform.targets.dtype == torch.int64
    assert (uniform.targets != targets)[uniform.is_noise].double().mean() > 0.6


def test_uniform_labels_are_any_class_as_likely_and_unrelated_to_the_image_s():
    replace = ReplaceWithNoise([100, 1, 1], 1.0, GaussianNoise([0.5], [0.2]), labels="uniform")
    targets = torch.tensor([1, 2]).repeat(15_000)
    batch = replace(torch.zeros(len(targets), 1, 1, 1), targets, generator())
    for label in (1, 2):
        found = torch.bincount(batch.targets[batch.is_noise & (targets == label)], minlength=3).double()
        assert (found / found.sum() - 1 / 3).abs().max() <= 5 * (2 / 9 / found.sum().item()) ** 0.5


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"ramp": "cosine"}, "ramp must be one of constant, linear, got 'cosine'"),
        ({"labels": "none"}, "labels must be one of class, uniform, got 'none'"),
    ],
    ids=str,
)
def test_unknown_choices_are_refused(option, words):
    with pytest.raises(InputError, match=words):
        ReplaceWithNoise(COUNTS, 1 / 3, NOISE, **option)


def test_integer_images_are_refused():
    with pytest.raises(InputError, match="images must be floating point"):
        ReplaceWithNoise(COUNTS, 1.0, NOISE)(torch.zeros(2, 3, 4, 4).byte(), torch.tensor([0, 1]), generator())


@pytest.mark.parametrize(
    ("counts", "delta", "key"), [(COUNTS, 1.5, "delta"), (COUNTS, "1/3", "delta"), ([10, 0], 0.3, "class_counts")]
)
def test_bad_settings_are_refused(counts, delta, key):
    with pytest.raises(InputError) as error:
        ReplaceWithNoise(counts, delta, NOISE)
    assert error.value.key == key


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("source", ["cpu", "cuda"])
def test_the_seed_decides_on_cuda(source):
    replace = ReplaceWithNoise(COUNTS, 1 / 3, NOISE).to("cuda")
    images, targets = (tensor.to("cuda") for tensor in batch_of())
    first, again, other = (replace(images, targets, generator(seed, source)) for seed in (1, 1, 2))
    assert first.images.device.type == first.is_noise.device.type == "cuda"
    assert same(first, again)
    assert not torch.equal(first.is_noise, other.is_noise)
    if source == "cpu":
        on_cpu = replace.to("cpu")(images.cpu(), targets.cpu(), generator(1))
        assert torch.equal(first.is_noise.cpu(), on_cpu.is_noise)
        torch.testing.assert_close(first.images.cpu(), on_cpu.images)
