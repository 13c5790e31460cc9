from __future__ import annotations

import hashlib

import pytest
import torch
from scipy.stats import chisquare

from oponm.data.samplers import SAMPLERS, EpochBatches, IndexBatch
from oponm.data.samplers.batches import part_of_batch
from oponm.data.samplers.orders import (
    CHUNK,
    CLASS_PROBABILITIES,
    PIECE,
    class_balanced,
    draw_order,
    effective_number,
    group_by_class,
    progressively_balanced,
    sample_order,
    square_root,
)
from oponm.errors import InputError
from oponm.rng import derive_generator

COUNTS = [300, 40, 7, 1]
CIFAR = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
OVER_A_CHUNK = [900_000, 400_000, 60_000, 3_000, 11]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shuffled_labels(counts: list[int]) -> torch.Tensor:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=generator(99))]


def batches(labels: torch.Tensor, size: int = 16, sampler: str = "instance", seed: int = 0, epoch: int = 0, **options):
    return list(EpochBatches(labels, size, sampler, seed, epoch, **options))


def order(*args, **kwargs) -> torch.Tensor:
    return torch.cat([batch.indices for batch in batches(*args, **kwargs)])


@pytest.mark.parametrize(
    ("sampler", "counts", "seed", "digest"),
    [
        ("instance", COUNTS, 0, "ad8dabe65d120925"),
        ("instance", COUNTS, 1, "2aa02363fa71002d"),
        ("instance", CIFAR, 0, "d5a1620a9348be6f"),
        ("instance", CIFAR, 1, "67572d916db53d64"),
        ("instance", OVER_A_CHUNK, 0, "b92ac3d0b85651fc"),
        ("instance", OVER_A_CHUNK, 1, "860228d995e57f8a"),
        ("class_balanced", COUNTS, 0, "36cb1326ec25138a"),
        ("class_balanced", COUNTS, 1, "2dac98d821238de9"),
        ("class_balanced", CIFAR, 0, "0a5d655c076f02cc"),
        ("class_balanced", CIFAR, 1, "209cbf5cb28dced9"),
        ("class_balanced", OVER_A_CHUNK, 0, "329290c0eb1feca7"),
        ("class_balanced", OVER_A_CHUNK, 1, "7b58e51217db98c7"),
    ],
)
def test_orders_are_those_recorded(sampler, counts, seed, digest):
    result = sample_order(sampler, shuffled_labels(counts), generator(seed))
    assert hashlib.sha256(result.numpy().tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("number", [1, 2, 100])
@pytest.mark.parametrize("seed", range(3))
def test_instance_visits_every_image_once(number, seed):
    result = sample_order("instance", torch.zeros(number, dtype=torch.long), generator(seed))
    assert result.dtype == torch.int64
    assert torch.equal(result.sort().values, torch.arange(number))


def test_instance_puts_every_image_anywhere():
    orders = torch.stack([sample_order("instance", torch.zeros(4).long(), generator(seed)) for seed in range(2000)])
    for position in orders.unbind(1):
        assert chisquare(torch.bincount(position, minlength=4).numpy()).pvalue > 1e-3


def test_class_balanced_is_uniform():
    assert class_balanced(torch.tensor(COUNTS), 0.3).tolist() == [1 / 4] * 4


def test_square_root_follows_the_formula():
    expected = [count**0.5 / sum(other**0.5 for other in CIFAR) for count in CIFAR]
    assert square_root(torch.tensor(CIFAR), 0.3).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_progressively_balanced_follows_the_formula(progress):
    expected = [(1 - progress) * count / sum(CIFAR) + progress / len(CIFAR) for count in CIFAR]
    assert progressively_balanced(torch.tensor(CIFAR), progress).tolist() == pytest.approx(expected, rel=1e-12)


def test_effective_number_gives_each_image_the_inverse_effective_number_as_weight():
    counts = [1, 50, 5000, 1_000_000]
    per_image = [(1 - 0.9999) / (1 - 0.9999**count) for count in counts]
    weights = [count * weight for count, weight in zip(counts, per_image, strict=True)]
    expected = [weight / sum(weights) for weight in weights]
    assert effective_number(torch.tensor(counts), 0.3).tolist() == pytest.approx(expected, rel=1e-9)


def test_effective_number_balances_small_classes_and_leaves_large_ones():
    small, large = effective_number(torch.tensor([10, 1]), 0.0), effective_number(torch.tensor([10**7, 10**6]), 0.0)
    assert small.tolist() == pytest.approx([0.5, 0.5], rel=1e-3)
    assert large.tolist() == pytest.approx([10 / 11, 1 / 11], rel=1e-3)


@pytest.mark.parametrize("counts", [COUNTS, COUNTS[::-1], [5, 5], [1, 1, 1000], [9]], ids=str)
@pytest.mark.parametrize("sampler", CLASS_PROBABILITIES)
def test_classes_and_images_of_a_class_are_drawn_as_they_ought_to(sampler, counts):
    labels, progress, source = shuffled_labels(counts), 0.6, generator(2)
    epochs = -(-30_000 // len(labels))
    indices = torch.cat([sample_order(sampler, labels, source, progress) for _ in range(epochs)])
    expected = CLASS_PROBABILITIES[sampler](torch.tensor(counts), progress) * len(indices)
    assert len(counts) == 1 or chisquare(torch.bincount(labels[indices]).numpy(), expected.numpy()).pvalue > 1e-3
    for label, count in enumerate(counts):
        drawn = indices[labels[indices] == label]
        members = (labels == label).nonzero().flatten()
        frequencies = torch.bincount(drawn, minlength=len(labels))[members]
        assert frequencies.sum() == len(drawn)
        assert frequencies.min() > 0
        assert count == 1 or chisquare(frequencies.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("sampler", CLASS_PROBABILITIES)
def test_draws_follow_one_another_independently(sampler):
    labels = torch.tensor([0, 0, 0, 1]).repeat(10_000)
    drawn = labels[sample_order(sampler, labels, generator(), 0.5)]
    share = CLASS_PROBABILITIES[sampler](torch.bincount(labels), 0.5)
    pairs = torch.bincount(2 * drawn[:-1:2] + drawn[1::2])
    assert chisquare(pairs.numpy(), (20_000 * torch.outer(share, share)).flatten().numpy()).pvalue > 1e-3


@pytest.mark.parametrize("probabilities", [[0.0, 0.7, 0.3, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]], ids=str)
def test_a_class_of_probability_zero_is_never_drawn(probabilities):
    labels = shuffled_labels(COUNTS)
    drawn = labels[draw_order(labels, torch.tensor(probabilities, dtype=torch.float64), generator())].unique()
    assert drawn.tolist() == [label for label, probability in enumerate(probabilities) if probability > 0]


def test_draws_behind_the_first_chunk_are_as_weighted():
    labels = shuffled_labels(OVER_A_CHUNK)
    drawn = torch.bincount(labels[sample_order("square_root", labels, generator())[CHUNK:]])
    expected = square_root(torch.tensor(OVER_A_CHUNK), 0.0) * drawn.sum()
    assert chisquare(drawn.numpy(), expected.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("counts", [[1], [1, 1], COUNTS, [PIECE - 1, 1, PIECE], [2] * PIECE, [3, 0, 5]], ids=len)
def test_images_are_grouped_as_a_stable_sort_would(counts):
    labels = shuffled_labels(counts)
    table = group_by_class(labels)
    assert table.dtype == torch.int32
    assert torch.equal(table.long(), torch.argsort(labels, stable=True))


@pytest.mark.parametrize("counts", [COUNTS, [1], [1, 1], [2, 9]], ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_order_has_the_length_of_the_labels(sampler, counts):
    labels = shuffled_labels(counts)
    before = labels.clone()
    result = sample_order(sampler, labels, generator(), 0.5)
    assert result.shape == labels.shape
    assert result.dtype == torch.int64
    assert result.min() >= 0
    assert result.max() < len(labels)
    assert torch.equal(labels, before)


def test_a_class_of_one_image_is_drawn_by_that_image():
    labels = shuffled_labels(COUNTS)
    result = sample_order("class_balanced", labels, generator())
    only = (labels == 3).nonzero().item()
    assert 50 < (labels[result] == 3).sum() == (result == only).sum()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_progress_makes_a_difference_to_progressively_balanced_alone(sampler):
    labels = shuffled_labels(COUNTS)
    orders = [sample_order(sampler, labels, generator(), progress) for progress in (0.0, 0.5, 1.0)]
    assert len({tuple(indices.tolist()) for indices in orders}) == (3 if sampler == "progressively_balanced" else 1)


def test_progressively_balanced_ends_as_class_balanced():
    labels = shuffled_labels(CIFAR)
    last = sample_order("progressively_balanced", labels, generator(), progress=1.0)
    assert torch.equal(last, sample_order("class_balanced", labels, generator()))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_generator_alone_decides(sampler):
    labels = shuffled_labels(COUNTS)
    before = torch.get_rng_state()
    first = sample_order(sampler, labels, generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(sample_order(sampler, labels, generator(1)), first)
    assert not torch.equal(sample_order(sampler, labels, generator(2)), first)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_epoch_is_determined_by_seed_and_epoch(sampler):
    labels = shuffled_labels(COUNTS)
    orders = {(s, e): order(labels, sampler=sampler, seed=s, epoch=e) for s in (0, 1) for e in (0, 1, 2)}
    for (seed, epoch), first in orders.items():
        assert torch.equal(order(labels, sampler=sampler, seed=seed, epoch=epoch), first)
    assert len({tuple(indices.tolist()) for indices in orders.values()}) == len(orders)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_batches_are_the_sampler_cut_up(sampler):
    labels = shuffled_labels(COUNTS)
    expected = sample_order(sampler, labels, derive_generator(3, "sampler", 5), progress=0.5)
    for size in (1, 4, 29, len(labels)):
        assert torch.equal(order(labels, size, sampler, seed=3, epoch=5, progress=0.5), expected)


@pytest.mark.parametrize(
    ("number", "size", "sizes"),
    [
        (8, 4, [4, 4]),
        (9, 4, [4, 4]),
        (10, 4, [4, 4, 2]),
        (3, 4, [3]),
        (2, 128, [2]),
        (1, 4, []),
        (3, 2, [2]),
        (3, 1, [1, 1, 1]),
        (1, 1, [1]),
    ],
)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_leftover_images_make_a_smaller_batch_but_for_a_single_one(number, size, sizes, sampler):
    epoch = EpochBatches(torch.zeros(number, dtype=torch.long), size, sampler, seed=0, epoch=0)
    assert [len(batch.indices) for batch in epoch] == sizes
    assert len(epoch) == len(sizes)


@pytest.mark.parametrize("number", [32, 33, 41, 47, 50, 57])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_processes_share_the_batches_of_a_single_one(number, sampler, ranks):
    labels = shuffled_labels(COUNTS)[:number].clamp(max=1)
    alone = batches(labels, 16, sampler, progress=0.5)
    parts = [batches(labels, 16, sampler, progress=0.5, rank=rank, world_size=ranks) for rank in range(ranks)]
    assert [len(part) for part in parts] == [len(alone)] * ranks
    for step, (whole, *shares) in enumerate(zip(alone, *parts, strict=True)):
        indices = [share.indices for share in shares]
        assert min(map(len, indices)) >= 2
        if len(whole.indices) < 2 * ranks:  # too few to share: the last of an epoch
            assert step == len(alone) - 1
            assert all(torch.equal(taken, whole.indices) for taken in indices)
        else:
            assert torch.equal(torch.cat(indices), whole.indices)
            assert max(map(len, indices)) - min(map(len, indices)) <= 1


@pytest.mark.parametrize("images", [2, 7, 8, 9, 15, 128])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_the_mean_over_processes_is_that_of_the_batch(images, ranks):
    losses = torch.rand(images, dtype=torch.float64, generator=generator())
    parts = [part_of_batch(images, rank, ranks) for rank in range(ranks)]
    mean = sum(part.weight * losses[part.start : part.stop].mean() for part in parts) / ranks
    assert mean.item() == pytest.approx(losses.mean().item())
    assert sum(part.stop - part.start for part in parts if part.counted) == images


@pytest.mark.parametrize("ranks", [2, 5])
def test_batches_too_small_for_the_processes_are_refused(ranks):
    with pytest.raises(InputError, match="and each needs two"):
        EpochBatches(torch.zeros(50).long(), 2 * ranks - 1, "instance", seed=0, epoch=0, world_size=ranks)


@pytest.mark.parametrize("epoch", [0, 7])
def test_a_batch_knows_its_epoch_and_step(epoch):
    found = batches(shuffled_labels(COUNTS), 50, epoch=epoch)
    assert all(isinstance(batch, IndexBatch) for batch in found)
    assert [(batch.epoch, batch.step) for batch in found] == [(epoch, step) for step in range(7)]


def test_an_epoch_can_be_walked_again():
    epoch = EpochBatches(shuffled_labels(COUNTS), 50, "class_balanced", seed=0, epoch=0)
    for one, other in zip(epoch, epoch, strict=True):
        assert torch.equal(one.indices, other.indices)


@pytest.mark.parametrize("sampler", ["balanced", "", None, "Instance"])
def test_an_unknown_sampler_is_refused(sampler):
    with pytest.raises(InputError, match="must be one of instance, class_balanced") as error:
        EpochBatches(torch.zeros(4), 2, sampler, seed=0, epoch=0)
    assert error.value.key == "sampler"
    assert repr(sampler) in error.value.message


@pytest.mark.parametrize("progress", [-0.1, 1.5, float("nan"), "half"])
def test_a_progress_outside_a_phase_is_refused(progress):
    with pytest.raises(InputError) as error:
        EpochBatches(torch.zeros(4), 2, "instance", seed=0, epoch=0, progress=progress)
    assert error.value.key == "progress"
    with pytest.raises(InputError):
        sample_order("instance", torch.zeros(4).long(), generator(), progress)
