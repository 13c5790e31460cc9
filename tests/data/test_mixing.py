from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy.stats import beta, chisquare

from oponm.data.mixing import CutMix, Mixing, Mixup, Remix, cutmix, draw_shares, mixup, no_mixing, permute_natural
from oponm.errors import InputError
from oponm.noise import Batch

COUNTS = [300, 100, 40, 7, 1]
CONFIGS = sorted((Path(__file__).parents[2] / "conf" / "mixing").glob("*.yaml"))
KINDS = [
    pytest.param(Mixup, id="mixup"),
    pytest.param(functools.partial(CutMix, probability=1.0), id="cutmix"),
    pytest.param(functools.partial(Remix, COUNTS), id="remix"),
]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(rows: int = 64, noise: str | None = "some", size: tuple[int, int] = (8, 8), seed: int = 5) -> Batch:
    source = generator(seed)
    images = torch.rand((rows, 3, *size), generator=source)
    targets = torch.randint(len(COUNTS), (rows,), generator=source)
    is_noise = {"some": torch.rand(rows, generator=source) < 0.3, "all": torch.ones(rows).bool(), None: None}
    return Batch(images, targets, (is_noise | {"none": torch.zeros(rows).bool()})[noise])


def row_numbers(rows: int, is_noise: torch.Tensor | None = None, size: tuple[int, int] = (8, 8)) -> Batch:
    """Every pixel, and the label, is the number of the row, so that a mixture tells where it comes from."""
    numbers = torch.arange(rows)
    return Batch(numbers.double()[:, None, None, None].expand(rows, 1, *size), numbers, is_noise)


def same(one: Batch, other: Batch) -> bool:
    return all(a is b is None or torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_noise_rows_stay_as_they_are(kind, seed):
    batch = batch_of(seed=seed)
    mixed, noise = kind()(batch, generator(seed)), batch.is_noise
    assert 0 < noise.sum() < len(noise)
    assert torch.equal(mixed.images[noise].view(torch.int32), batch.images[noise].view(torch.int32))
    assert torch.equal(mixed.partners[noise], batch.targets[noise])
    assert bool((mixed.shares[noise] == 1).all())
    assert torch.equal(mixed.is_noise, noise)
    assert torch.equal(mixed.targets, batch.targets)
    assert not torch.equal(mixed.images[~noise], batch.images[~noise])


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1]])
@pytest.mark.parametrize("seed", range(5))
def test_partners_are_a_permutation_of_the_natural_rows(kind, seed):
    is_noise = torch.rand(50, generator=generator(seed)) < 0.4
    mixed = kind()(row_numbers(50, is_noise), generator(seed))
    natural = (~is_noise).nonzero().flatten()
    assert torch.equal(mixed.partners[natural].sort().values, natural)
    assert not torch.equal(mixed.partners[natural], natural)


def test_every_natural_row_is_as_likely_a_partner():
    is_noise = torch.tensor([False, True, False, False, True, False])
    source = generator()
    found = torch.stack([permute_natural(is_noise, source) for _ in range(3000)])
    assert bool(is_noise[found[:, is_noise]].all())
    for row in (0, 2, 3, 5):
        frequencies = torch.bincount(found[:, row], minlength=6)
        assert bool((frequencies[is_noise] == 0).all())
        assert chisquare(frequencies[~is_noise].numpy()).pvalue > 1e-3


def test_mixup_blends_images_in_the_labels_shares():
    is_noise = torch.arange(40) % 4 == 0
    mixed = Mixup()(row_numbers(40, is_noise), generator())
    shares = mixed.shares.double()
    expected = shares * mixed.targets + (1 - shares) * mixed.partners
    torch.testing.assert_close(mixed.images, expected[:, None, None, None].expand_as(mixed.images))
    assert mixed.images.dtype == torch.float64


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (5, 12), (1, 1)], ids=str)
@pytest.mark.parametrize("alpha", [0.3, 1.0, 5.0])
def test_cutmix_labels_have_the_shares_of_the_pixels(size, alpha):
    batch = row_numbers(300, torch.arange(300) % 3 == 0, size)
    mixed = CutMix(alpha, probability=1.0)(batch, generator())
    own = (mixed.images == mixed.targets[:, None, None, None]).sum((1, 2, 3))
    others = (mixed.images == mixed.partners[:, None, None, None]).sum((1, 2, 3))
    pixels, itself = size[0] * size[1], mixed.partners == mixed.targets
    assert torch.equal((own + others)[~itself], torch.full_like(own, pixels)[~itself])
    assert torch.equal(mixed.shares[~itself], 1 - (others / pixels)[~itself])
    assert pixels == 1 or len(mixed.shares.unique()) > 3


def test_cutmix_pastes_one_box_from_the_same_place():
    batch = batch_of(noise=None, size=(9, 14))
    mixed = CutMix(probability=1.0)(batch._replace(targets=torch.arange(64)), generator())
    pasted = (mixed.images != batch.images).any(1)
    assert torch.equal(torch.where(pasted[:, None], batch.images[mixed.partners], batch.images), mixed.images)
    boxes = torch.einsum("nh,nw->nhw", pasted.any(2).float(), pasted.any(1).float()).bool()
    assert torch.equal(pasted, boxes)
    for lines in (pasted.any(1), pasted.any(2)):
        edges = (lines[:, 1:] != lines[:, :-1]).sum(1)
        assert bool((edges <= 2).all())
    assert len(pasted.flatten(1).unique(dim=0)) > 50


def test_cutmix_boxes_are_drawn_as_published():
    size, draws = 32, 20_000
    mixed = CutMix(probability=1.0)(row_numbers(draws, size=(size, size)), generator())
    source = np.random.default_rng(0)
    sides = (size * np.sqrt(1 - source.beta(1.0, 1.0, draws))).astype(int)
    centers = source.integers(size, size=(2, draws))
    low, high = np.clip(centers - sides // 2, 0, size), np.clip(centers + sides // 2, 0, size)
    expected = 1 - (high - low).prod(0) / size**2
    ours = mixed.shares.numpy()
    places = np.linspace(0, 1, 50)
    distance = np.abs((ours[:, None] <= places).mean(0) - (expected[:, None] <= places).mean(0)).max()
    assert distance < 1.95 * np.sqrt(2 / draws)  # two-sample Kolmogorov-Smirnov, p = 0.001


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0, 50.0])
def test_shares_follow_the_beta_distribution(alpha):
    draws = 100_000
    shares = draw_shares(draws, alpha, generator())
    assert shares.dtype == torch.float32
    # Nearer to 0 and 1 than this they are rounded, so the distribution functions are compared between.
    places = np.unique(np.clip(beta(alpha, alpha).ppf(np.linspace(0, 1, 1001)), 1e-6, 1 - 1e-6))
    found = np.searchsorted(np.sort(shares.double().numpy()), places, side="right") / draws
    assert np.abs(found - beta(alpha, alpha).cdf(places)).max() < 1.95 / np.sqrt(draws)  # p = 0.001


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.05, 1e3, 1e6])
def test_shares_of_extreme_distributions_are_numbers(alpha):
    shares = draw_shares(10_000, alpha, generator())
    assert bool(((shares >= 0) & (shares <= 1)).all())
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
    assert shares.var().item() == pytest.approx(1 / (8 * alpha + 4), rel=0.05)


@pytest.mark.parametrize(("kappa", "tau"), [(3.0, 0.5), (1.0, 1.0), (100.0, 0.875), (7.5, 0.25), (2.0, 0.0)])
def test_remix_shares_follow_the_published_rules(kappa, tau):
    targets, partners = torch.cartesian_prod(torch.arange(5), torch.arange(5)).repeat(33, 1).unbind(1)
    shares = (torch.arange(33) / 32).repeat_interleave(25)
    result = Remix(COUNTS, kappa=kappa, tau=tau).share_labels(shares, targets, partners)
    for own, other, share, found in zip(
        targets.tolist(), partners.tolist(), shares.tolist(), result.tolist(), strict=True
    ):
        expected = share
        if COUNTS[own] / COUNTS[other] >= kappa and share < tau:
            expected = 0.0
        elif COUNTS[own] / COUNTS[other] <= 1 / kappa and 1 - share < tau:
            expected = 1.0
        assert found == expected, (own, other, share)


def test_remix_images_are_those_of_mixup():
    batch = batch_of()
    remixed, mixed = Remix(COUNTS)(batch, generator(1)), Mixup()(batch, generator(1))
    assert torch.equal(remixed.images, mixed.images)
    assert torch.equal(remixed.partners, mixed.partners)
    expected = Remix(COUNTS).share_labels(mixed.shares, mixed.targets, mixed.partners)
    assert torch.equal(remixed.shares, expected)
    assert not torch.equal(remixed.shares, mixed.shares)


@pytest.mark.parametrize("make", [Mixup, CutMix])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_rows_are_mixed_with_the_given_probability(make, probability):
    batch = row_numbers(20_000, size=(16, 16))
    mixed = make(5.0, probability)(batch, generator())
    is_mixed = mixed.shares != 1
    assert is_mixed.double().mean().item() == pytest.approx(probability, abs=0.015)
    assert torch.equal(mixed.partners[~is_mixed], mixed.targets[~is_mixed])
    assert torch.equal(mixed.images[~is_mixed], batch.images[~is_mixed])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise", ["some", None])
def test_the_generator_alone_decides(kind, noise):
    batch = batch_of(noise=noise)
    given = Batch(*(None if part is None else part.clone() for part in batch))
    before = torch.get_rng_state()
    first = kind()(batch, generator(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert same(batch, given)
    torch.rand(5)
    assert same(kind()(batch, generator(1)), first)
    assert not torch.equal(kind()(batch, generator(2)).shares, first.shares)


@pytest.mark.parametrize("kind", KINDS)
def test_no_mask_is_as_good_as_a_mask_without_noise(kind):
    without, masked = kind()(batch_of(noise=None), generator()), kind()(batch_of(noise="none"), generator())
    assert without.is_noise is None
    assert same(without, masked._replace(is_noise=None))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(batch_of(noise="all"), id="all noise"),
        pytest.param(batch_of(1, noise=None), id="one row"),
        pytest.param(batch_of(1, noise="all"), id="one row of noise"),
        pytest.param(batch_of(9)._replace(is_noise=torch.arange(9) != 4), id="one natural row"),
        pytest.param(batch_of(0, noise=None), id="no row"),
    ],
)
def test_what_has_nobody_to_mix_with_stays_as_it_is(kind, batch):
    mixed = kind()(batch, generator())
    assert torch.equal(mixed.images, batch.images)
    assert torch.equal(mixed.partners, batch.targets)
    assert mixed.shares.shape == batch.targets.shape


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_is_a_batch_in_the_pixel_range(kind):
    batch = batch_of(256)
    batch = batch._replace(images=batch.images.round())  # black and white, which overshoot first
    mixed = kind()(batch, generator())
    assert mixed.images.shape == batch.images.shape
    assert mixed.images.dtype == mixed.shares.dtype == torch.float32
    assert mixed.partners.dtype == torch.int64
    assert mixed.images.min() >= 0
    assert mixed.images.max() <= 1
    assert mixed.shares.min() >= 0
    assert mixed.shares.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_on_the_device_is_asked_for(kind):
    batch = Batch(*(part.to("meta") for part in batch_of()[:3]))  # has no values to tell
    mixed = kind()(batch, generator())
    assert {part.device.type for part in mixed} == {"meta"}
    assert mixed.images.shape == batch.images.shape


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_saved_with_the_weights(kind):
    assert kind().state_dict() == {}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_choice_can_be_made_and_mixes(file):
    made = instantiate(OmegaConf.load(file))(COUNTS)
    if file.stem == "none":
        assert made is no_mixing(COUNTS) is None
        return
    assert isinstance(made, Mixing)
    mixed = made(batch_of(), generator())
    assert not torch.equal(mixed.partners, mixed.targets)
    given = {key: value for key, value in OmegaConf.load(file).items() if not key.startswith("_")}
    assert {key: getattr(made, key) for key in given} == given


def test_defaults_are_those_of_the_papers():
    assert {file.stem for file in CONFIGS} == {"none", "mixup", "cutmix", "remix"}
    assert (mixup(COUNTS).alpha, mixup(COUNTS).probability) == (1.0, 1.0)
    assert (cutmix(COUNTS).alpha, cutmix(COUNTS).probability) == (1.0, 0.5)
    remix = Remix(COUNTS)
    assert (remix.alpha, remix.probability, remix.kappa, remix.tau) == (1.0, 1.0, 3.0, 0.5)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: mixup(COUNTS, alpha=0.0), "alpha"),
        (lambda: cutmix(COUNTS, alpha=-1.0), "alpha"),
        (lambda: Remix(COUNTS, alpha="1"), "alpha"),
        (lambda: mixup(COUNTS, probability=1.1), "probability"),
        (lambda: cutmix(COUNTS, probability=-0.1), "probability"),
        (lambda: Remix(COUNTS, kappa=0.9), "kappa"),
        (lambda: Remix(COUNTS, tau=1.1), "tau"),
        (lambda: Remix([3, 0]), "class_counts"),
        (lambda: Remix([]), "class_counts"),
    ],
)
def test_bad_settings_are_refused(make, key):
    with pytest.raises(InputError) as error:
        make()
    assert error.value.key == key


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["cpu", "cuda"])
def test_the_seed_decides_on_cuda(kind, source):
    batch = batch_of()
    mixing, on_cuda = kind().to("cuda"), Batch(*(part.cuda() for part in batch[:3]))
    first, again = (mixing(on_cuda, torch.Generator(source).manual_seed(1)) for _ in range(2))
    assert same(first, again)
    assert {part.device.type for part in first} == {"cuda"}
    if source == "cpu":
        on_cpu = kind()(batch, generator(1))
        assert torch.equal(on_cpu.partners, first.partners.cpu())
        torch.testing.assert_close(on_cpu.images, first.images.cpu())
