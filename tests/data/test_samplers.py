from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from oponm.data.samplers import SAMPLERS, EpochBatches, IndexBatch, class_balanced_order, instance_order
from oponm.errors import InputError
from oponm.rng import derive_generator

COUNTS = [300, 40, 7, 1]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shuffled_labels(counts: list[int]) -> torch.Tensor:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=generator(99))]


def batches(labels: torch.Tensor, size: int = 16, sampler: str = "instance", seed: int = 0, epoch: int = 0):
    return list(EpochBatches(labels, size, sampler, seed, epoch))


def order(*args, **kwargs) -> torch.Tensor:
    return torch.cat([batch.indices for batch in batches(*args, **kwargs)])


@pytest.mark.parametrize("number", [1, 2, 100])
@pytest.mark.parametrize("seed", range(3))
def test_instance_visits_every_image_once(number, seed):
    result = instance_order(torch.zeros(number, dtype=torch.long), generator(seed))
    assert result.dtype == torch.int64
    assert torch.equal(result.sort().values, torch.arange(number))


def test_instance_puts_every_image_anywhere():
    orders = torch.stack([instance_order(torch.zeros(4), generator(seed)) for seed in range(2000)])
    for position in orders.unbind(1):
        assert chisquare(torch.bincount(position, minlength=4).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("counts", [COUNTS, COUNTS[::-1], [5, 5], [1, 1, 1000], [9]], ids=str)
def test_class_balanced_draws_classes_and_images_of_a_class_evenly(counts):
    labels, draws = shuffled_labels(counts), 30_000
    source = generator()
    indices = torch.cat([class_balanced_order(labels, source) for _ in range(-(-draws // len(labels)))])
    assert indices.dtype == torch.int64
    assert len(counts) == 1 or chisquare(torch.bincount(labels[indices]).numpy()).pvalue > 1e-3
    for label, count in enumerate(counts):
        drawn = indices[labels[indices] == label]
        members = (labels == label).nonzero().flatten()
        frequencies = torch.bincount(drawn, minlength=len(labels))[members]
        assert frequencies.sum() == len(drawn)
        assert frequencies.min() > 0
        assert count == 1 or chisquare(frequencies.numpy()).pvalue > 1e-3


def test_class_balanced_draws_follow_one_another_independently():
    labels = torch.tensor([0, 0, 1]).repeat(10_000)
    drawn = labels[class_balanced_order(labels, generator())]
    pairs = torch.bincount(2 * drawn[:-1:2] + drawn[1::2])
    assert chisquare(pairs.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("counts", [COUNTS, [1], [1, 1], [2, 9]], ids=str)
def test_class_balanced_keeps_the_length(counts):
    labels = shuffled_labels(counts)
    result = class_balanced_order(labels, generator())
    assert result.shape == labels.shape
    assert result.min() >= 0
    assert result.max() < len(labels)


def test_a_class_of_one_image_is_drawn_by_that_image():
    labels = shuffled_labels(COUNTS)
    result = class_balanced_order(labels, generator())
    only = (labels == 3).nonzero().item()
    assert 50 < (labels[result] == 3).sum() == (result == only).sum()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_generator_alone_decides(sampler):
    labels, draw = shuffled_labels(COUNTS), SAMPLERS[sampler]
    before = torch.get_rng_state()
    first = draw(labels, generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(draw(labels, generator(1)), first)
    assert not torch.equal(draw(labels, generator(2)), first)


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
    expected = SAMPLERS[sampler](labels, derive_generator(3, "sampler", 5))
    for size in (1, 4, 29, len(labels)):
        assert torch.equal(order(labels, size, sampler, seed=3, epoch=5), expected)


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
