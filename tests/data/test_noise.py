from __future__ import annotations

from functools import partial

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from oponm.configs import CONF_DIR, groups
from oponm.data import DigitsLT, ImageFolderLT
from oponm.data.noise import DISTRIBUTIONS, make_noise
from oponm.data.pipeline import DevicePipeline, RawBatch
from oponm.data.statistics import Statistics, channel_statistics
from oponm.errors import InputError
from oponm.noise import (
    AddNoise,
    AppendNoise,
    Batch,
    ClassGaussianNoise,
    GaussianNoise,
    ReplaceWithNoise,
    SpectrumNoise,
    UniformNoise,
    noise_probability,
)

STATISTICS = Statistics((0.2, 0.5, 0.7), (0.05, 0.1, 0.02))
OF_CLASSES = [Statistics((0.1 * k, 0.5, 0.7), (0.05, 0.1, 0.01 * k)) for k in (1, 2, 3)]
COUNTS = [100, 50, 1]


def make(channels: int = 3, **options):
    statistics, *of_classes = (Statistics(of.mean[:channels], of.std[:channels]) for of in (STATISTICS, *OF_CLASSES))
    return make_noise(statistics, COUNTS, lambda: of_classes, **options)


def mix(transform, rows: int = 600, channels: int = 3, progress: float = 1.0) -> Batch:
    targets = torch.arange(rows) % 3
    return transform(torch.full((rows, channels, 16, 16), 2.0), targets, torch.Generator().manual_seed(0), progress)


def never_called():
    raise AssertionError("reads the whole training set")


@pytest.mark.parametrize("delta", [None, 0, 1 / 6, 1])
@pytest.mark.parametrize("mode", ["replace", "add"])
def test_delta_is_the_probability_of_the_paper(mode, delta):
    transform = make(mode=mode, delta=delta)
    torch.testing.assert_close(transform.probability, noise_probability(COUNTS, 1 / 3 if delta is None else delta))


def test_by_default_it_is_open_as_published():
    transform = make()
    published = ReplaceWithNoise(COUNTS, 1 / 3, GaussianNoise(STATISTICS.mean, STATISTICS.std))
    for one, other in zip(mix(transform)[:3], mix(published)[:3], strict=True):
        assert torch.equal(one, other)


def test_the_noise_has_the_statistics():
    batch = mix(make(delta=1))
    noise = batch.images[batch.is_noise]
    assert len(noise) > 250
    assert (batch.images[~batch.is_noise] == 2).all()
    torch.testing.assert_close(noise.mean((0, 2, 3)), torch.tensor(STATISTICS.mean), atol=2e-3, rtol=0)
    torch.testing.assert_close(noise.std((0, 2, 3)), torch.tensor(STATISTICS.std), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("distribution", "kind"),
    [
        ("gaussian", GaussianNoise),
        ("uniform", UniformNoise),
        ("class_gaussian", ClassGaussianNoise),
        ("spectrum", SpectrumNoise),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_every_distribution_in_either_mode(distribution, kind, channels, mode):
    transform = make(channels, distribution=distribution, mode=mode)
    assert type(transform.noise) is kind
    batch = mix(transform, channels=channels)
    assert batch.images.shape == (600 if mode == "replace" else 750, channels, 16, 16)
    assert ((batch.images != 2).flatten(1).any(1) == batch.is_noise).all()
    assert 0 < batch.is_noise.sum() < 600


@pytest.mark.parametrize(("ratio", "extra"), [(None, 150), (0.25, 150), (0, 0), (2, 1200)])
def test_ratio_is_how_much_is_appended(ratio, extra):
    transform = make(mode="append", ratio=ratio)
    assert isinstance(transform, AppendNoise)
    batch = mix(transform)
    assert batch.is_noise.sum() == extra
    assert set(batch.targets[600:].tolist()) == (set(range(3)) if extra else set())


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_added_with_the_deviation_of_the_training_set(channels):
    transform = make(channels, mode="add", delta=1)
    assert isinstance(transform, AddNoise)
    images = torch.full((2000, channels, 8, 8), 0.5)
    batch = transform(images, torch.full((2000,), 2), torch.Generator().manual_seed(0))
    noise = (batch.images - images)[(batch.images != images).flatten(1).any(1)]
    assert batch.is_noise is None
    torch.testing.assert_close(noise.std((0, 2, 3)), torch.tensor(STATISTICS.std[:channels]), atol=2e-3, rtol=0)


@pytest.mark.parametrize("distribution", ["gaussian", "spectrum"])
def test_statistics_given_come_before_those_of_the_training_set(distribution):
    noise = make(distribution=distribution, mean=[0.3, 0.4, 0.5], std=[0.1, 0.2, 0.3]).noise
    assert noise.mean.flatten().tolist() == pytest.approx([0.3, 0.4, 0.5])
    assert noise.std.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    half = make(distribution=distribution, std=[0.1, 0.2, 0.3]).noise
    assert half.mean.flatten().tolist() == pytest.approx(STATISTICS.mean)


def test_a_deviation_given_is_the_one_added():
    assert make(mode="add", std=[0.1, 0.2, 0.3]).noise.std.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_classes_have_colors_of_their_own():
    noise = make(distribution="class_gaussian").noise
    expected = torch.tensor([of.mean for of in OF_CLASSES]), torch.tensor([of.std for of in OF_CLASSES])
    assert torch.equal(noise.mean[:, :, 0, 0], expected[0])
    assert torch.equal(noise.std[:, :, 0, 0], expected[1])


def test_colors_of_classes_may_be_given():
    mean, std = torch.rand(3, 3).tolist(), torch.rand(3, 3).tolist()
    noise = make_noise(STATISTICS, COUNTS, never_called, "class_gaussian", mean=mean, std=std).noise
    assert torch.equal(noise.mean[:, :, 0, 0], torch.tensor(mean))
    assert torch.equal(noise.std[:, :, 0, 0], torch.tensor(std))
    half = make(distribution="class_gaussian", std=std).noise
    assert torch.equal(half.mean[:, :, 0, 0], torch.tensor([of.mean for of in OF_CLASSES]))
    assert torch.equal(half.std[:, :, 0, 0], torch.tensor(std))


@pytest.mark.parametrize("distribution", [name for name in DISTRIBUTIONS if name != "class_gaussian"])
def test_classes_are_measured_for_their_own_noise_alone(distribution):
    assert make_noise(STATISTICS, COUNTS, never_called, distribution)


@pytest.mark.parametrize("distribution", ["gaussian", "class_gaussian", "spectrum"])
@pytest.mark.parametrize(("clip", "clipped"), [(None, True), (True, True), (False, False)])
def test_clipping_is_a_choice(distribution, clip, clipped):
    wide = Statistics((0.5,) * 3, (1.0,) * 3)
    transform = make_noise(wide, COUNTS, lambda: [wide] * 3, distribution, delta=1, clip=clip)
    batch = mix(transform)
    noise = batch.images[batch.is_noise]
    assert bool(((noise >= 0) & (noise <= 1)).all()) == clipped


@pytest.mark.parametrize(("clip", "highest"), [(None, 1), (True, 1), (False, 2)])
def test_clipping_the_sum_is_a_choice(clip, highest):
    batch = mix(make(mode="add", delta=1, clip=clip))
    assert (batch.images[batch.targets == 2].flatten(1).mean(1).round() == highest).sum() > 100


@pytest.mark.parametrize(("exponent", "given"), [(None, 1), (0, 0), (2, 2)])
def test_the_exponent_is_a_choice(exponent, given):
    assert make(distribution="spectrum", exponent=exponent).noise.exponent == given


@pytest.mark.parametrize(("labels", "stay"), [(None, True), ("class", True), ("uniform", False)])
def test_labels_are_a_choice(labels, stay):
    batch = mix(make(delta=1, labels=labels))
    assert torch.equal(batch.targets, torch.arange(600) % 3) == stay


@pytest.mark.parametrize("mode", ["replace", "append", "add"])
def test_noise_may_grow_over_a_phase(mode):
    ramped, constant = (make(mode=mode, ramp=ramp) for ramp in ("linear", "constant"))
    images = mix(ramped, progress=0).images
    assert (images == 2).all()
    assert len(images) == 600
    assert torch.equal(mix(ramped, progress=1).images, mix(constant, progress=0).images)


@pytest.mark.parametrize(
    ("options", "key", "words"),
    [
        ({"delta": -0.1}, "delta", r"must lie in \[0, 1\]"),
        ({"delta": 1.1}, "delta", r"must lie in \[0, 1\]"),
        ({"delta": "1/3"}, "delta", r"must lie in \[0, 1\]"),
        ({"delta": float("nan")}, "delta", r"must lie in \[0, 1\]"),
        ({"delta": "1/3", "mode": "add"}, "delta", r"must lie in \[0, 1\]"),
        ({"mode": "append", "ratio": -1}, "ratio", "at least 0"),
        ({"mode": "blend"}, "mode", "replace, append, add"),
        ({"mode": None}, "mode", "replace, append, add"),
        ({"distribution": "pink"}, "distribution", "gaussian, uniform, class_gaussian, spectrum"),
        ({"ramp": "cosine"}, "ramp", "constant, linear"),
        ({"ramp": None, "mode": "append"}, "ramp", "constant, linear"),
        ({"ramp": "cosine", "mode": "add"}, "ramp", "constant, linear"),
        ({"labels": "none"}, "labels", "class, uniform"),
        ({"clip": 5}, "clip", "true or false"),
        ({"clip": 0}, "clip", "true or false"),
        ({"distribution": "spectrum", "exponent": -1}, "exponent", "at least 0"),
        ({"mean": [0.5]}, "mean", r"must be a list of length 3, its values in \[0, 1\]"),
        ({"mean": 0.5}, "mean", "must be a list of length 3"),
        ({"mean": [125, 123, 114]}, "mean", r"must be a list of length 3, its values in \[0, 1\]"),
        ({"mean": ["a", "b", "c"]}, "mean", "must be a list of length 3"),
        ({"mean": "grey"}, "mean", "must be a list of length 3"),
        ({"std": [0.1, 0.1]}, "std", "must be a list of length 3, its values of at least 0"),
        ({"std": [0.1, 0.1, -0.1]}, "std", "must be a list of length 3, its values of at least 0"),
        ({"std": [0.1, 0.1, float("inf")]}, "std", "must be a list of length 3, its values of at least 0"),
        ({"mode": "add", "std": [0.1]}, "std", "must be a list of length 3"),
        (
            {"distribution": "class_gaussian", "mean": [0.5] * 3},
            "mean",
            "must be a list of length 3 of lists of length 3",
        ),
        (
            {"distribution": "class_gaussian", "std": [[0.5] * 3, [0.5]]},
            "std",
            "must be a list of length 3 of lists of length 3",
        ),
    ],
    ids=str,
)
def test_bad_settings_are_refused(options, key, words):
    with pytest.raises(InputError, match=words) as error:
        make(**options)
    assert error.value.key == key


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"ratio": 0.25}, "ratio"),
        ({"mode": "add", "ratio": 0}, "ratio"),
        ({"mode": "append", "delta": 0}, "delta"),
        ({"mode": "append", "labels": "uniform"}, "labels"),
        ({"mode": "add", "labels": "class"}, "labels"),
        ({"mode": "add", "mean": [0.5] * 3}, "mean"),
        ({"exponent": 1}, "exponent"),
        ({"distribution": "class_gaussian", "exponent": 0}, "exponent"),
        ({"distribution": "uniform", "mean": [0.5] * 3}, "mean"),
        ({"distribution": "uniform", "std": [0.5] * 3}, "std"),
        ({"distribution": "uniform", "clip": False}, "clip"),
        ({"distribution": "uniform", "exponent": 1.0}, "exponent"),
    ],
    ids=str,
)
def test_what_would_be_ignored_is_refused(options, key):
    with pytest.raises(InputError, match=f"{key} must be null, as (mode|distribution)=") as error:
        make(**options)
    assert error.value.key == key


@pytest.mark.parametrize("distribution", ["uniform", "class_gaussian", "spectrum"])
def test_only_gaussian_noise_is_added(distribution):
    with pytest.raises(InputError, match="distribution must be gaussian for mode=add"):
        make(distribution=distribution, mode="add")


def composed(choice: str = "gaussian", *overrides: str):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(f"noise/{choice}", list(overrides)).noise


@pytest.mark.parametrize("choice", groups()["noise"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_config_mixes_a_batch(choice, channels):
    transform = instantiate(composed(choice))
    statistics, *of_classes = (Statistics(of.mean[:channels], of.std[:channels]) for of in (STATISTICS, *OF_CLASSES))
    batch = mix(transform(statistics, COUNTS, lambda: of_classes), channels=channels)
    assert batch.is_noise.any()
    assert len(batch.images) == (750 if choice == "append" else 600)


def test_the_config_of_each_distribution_is_its_own():
    found = {choice: composed(choice).distribution for choice in groups()["noise"]}
    assert found == {name: name for name in DISTRIBUTIONS} | {"append": "gaussian"}


def test_the_paper_s_deltas_and_ratio_are_in_the_configs():
    assert composed().delta == pytest.approx(1 / 3)
    assert composed("append").ratio == 1 / 4


@pytest.mark.parametrize(
    ("choice", "overrides", "check"),
    [
        ("gaussian", ["noise.delta=0.5"], lambda transform: transform.probability[1] == 0.25),
        ("gaussian", ["noise.clip=false"], lambda transform: transform.noise.clip is False),
        ("gaussian", ["noise.labels=uniform"], lambda transform: transform.labels == "uniform"),
        ("gaussian", ["noise.ramp=linear"], lambda transform: transform.ramp == "linear"),
        ("gaussian", ["noise.mode=add"], lambda transform: isinstance(transform, AddNoise)),
        (
            "gaussian",
            ["noise.mean=[0,0.5,1]"],
            lambda transform: transform.noise.mean.flatten().tolist() == [0, 0.5, 1],
        ),
        ("append", ["noise.ratio=1"], lambda transform: transform.ratio == 1),
        ("uniform", ["noise.mode=append", "noise.delta=null"], lambda transform: isinstance(transform, AppendNoise)),
        ("spectrum", ["noise.std=[0,0.5,1]"], lambda transform: transform.noise.std.flatten().tolist() == [0, 0.5, 1]),
        ("spectrum", ["noise.exponent=2"], lambda transform: transform.noise.exponent == 2),
        (
            "class_gaussian",
            ["noise.mean=[[0,0.5,1],[0,0,0],[1,1,1]]"],
            lambda transform: transform.noise.mean[0, :, 0, 0].tolist() == [0, 0.5, 1],
        ),
    ],
    ids=lambda value: None if callable(value) else str(value),
)
def test_keys_reach_the_noise(choice, overrides, check):
    assert check(instantiate(composed(choice, *overrides))(STATISTICS, COUNTS, lambda: OF_CLASSES))


def test_no_config_has_a_key_that_its_noise_refuses():
    for choice in groups()["noise"]:
        noise = composed(choice)
        for key in set(OmegaConf.to_container(noise)) & {"mean", "std", "clip", "exponent"}:
            value = {"clip": False, "exponent": 3}.get(key, [0.5] * 3)
            value = [value] * 3 if choice == "class_gaussian" and key in ("mean", "std") else value
            assert instantiate(noise, **{key: value})(STATISTICS, COUNTS, lambda: OF_CLASSES)


def test_a_data_module_measures_its_classes():
    data = DigitsLT(imbalance_ratio=50, noise=partial(make_noise, distribution="class_gaussian"))
    data.setup()
    images, targets = data.train_set.images, data.train_set.targets
    expected = [channel_statistics(images[targets == label]).mean for label in range(10)]
    assert torch.equal(data.pipeline.noise_transform.noise.mean[:, :, 0, 0], torch.tensor(expected))


def test_a_data_module_that_streams_measures_its_classes_too(tmp_path):
    for name, color in (("ants", (51, 0, 255)), ("bees", (102, 204, 0))):
        for part in ("train", "test"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (12, 10), color).save(tmp_path / part / name / f"{number}.png")
    noise = partial(make_noise, distribution="class_gaussian")
    data = ImageFolderLT(tmp_path, image_size=8, in_memory=False, batch_size=2, noise=noise)
    data.setup()
    images = data.pipeline.noise_transform.noise
    torch.testing.assert_close(images.mean[:, :, 0, 0], torch.tensor([[0.2, 0, 1], [0.4, 0.8, 0]]))
    assert (images.std == 0).all()


@pytest.mark.parametrize("mode", ["replace", "append", "add"])
def test_the_pipeline_passes_the_progress_on(mode):
    pipeline = DevicePipeline(torch.nn.Identity(), make(mode=mode, ramp="linear"), STATISTICS, seed=0)
    raw = RawBatch(torch.full((60, 3, 8, 8), 128, dtype=torch.uint8), torch.arange(60) % 3, 0, 0)
    plain, start, end = (
        pipeline(raw, training=True, noise=noise, progress=progress).images
        for noise, progress in ((False, 1.0), (True, 0.0), (True, 1.0))
    )
    assert torch.equal(start, plain)
    assert end.shape != plain.shape or not torch.equal(end, plain)
