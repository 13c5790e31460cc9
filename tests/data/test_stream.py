from __future__ import annotations

import gc
import hashlib
import logging
import multiprocessing
import shutil
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from oponm.data import DigitsLT, ImageFolderLT, statistics
from oponm.data.decode import Form, read_image
from oponm.data.image_data import EpochInput
from oponm.data.noise import make_noise, no_noise
from oponm.data.pipeline import RawBatch
from oponm.data.samplers import IndexBatch
from oponm.data.statistics import PUBLISHED, channel_statistics, statistics_sample
from oponm.data.stream import StreamedImages
from oponm.errors import InputError
from oponm.models import SmallCNN
from oponm.rng import derived_randomness
from oponm.training import LongTailModule, Phase, PhasePlan, train


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name, number in (("ants", 20), ("bees", 10)):
        (folder / name).mkdir()
        for index in range(number):
            Image.fromarray(random.integers(0, 255, (30, 24, 3), dtype=np.uint8)).save(
                folder / name / f"{index:02}.png"
            )
    return folder


def stream(photos: Path, training: bool, seed: int = 0) -> StreamedImages:
    files = np.array(sorted(photos.rglob("*.png")), dtype=object)
    return StreamedImages(files, torch.arange(len(files)), Form(16), training, seed)


def first(data: StreamedImages, epoch: int = 0, step: int = 0, rank: int = 0) -> torch.Tensor:
    return data.__getitems__(IndexBatch(torch.tensor([3, 1, 3]), epoch, step, rank)).images


def test_evaluation_decodes_as_a_set_in_memory_does(photos):
    data = stream(photos, training=False)
    assert torch.equal(first(data), torch.stack([read_image(data.files[index], Form(16)) for index in (3, 1, 3)]))


def test_crops_are_a_function_of_seed_epoch_step_and_rank(photos):
    torch.manual_seed(0)
    images = first(stream(photos, training=True))
    torch.manual_seed(1)
    assert torch.equal(first(stream(photos, training=True)), images)
    assert not torch.equal(images[0], images[2])
    for other in (
        first(stream(photos, True, seed=1)),
        first(stream(photos, True), epoch=1),
        first(stream(photos, True), step=1),
        first(stream(photos, True), rank=1),
    ):
        assert not torch.equal(other, images)


@pytest.mark.parametrize("in_memory", [True, False])
def test_both_ways_draw_the_same_split(photos, in_memory):
    data = ImageFolderLT(photos, imbalance_ratio=4, in_memory=in_memory, image_size=16, val="split", val_size=2)
    data.setup()
    assert (data.class_counts, data.val_counts, data.test_counts) == ([14, 3], [2, 2], [4, 2])
    assert data.image_shape == (3, 16, 16)
    assert data.statistics.mean == pytest.approx([0.5] * 3, abs=0.03)


def test_the_number_of_workers_changes_nothing(photos):
    batches = []
    for workers in (0, 1, 2):
        data = ImageFolderLT(
            photos, in_memory=False, image_size=16, batch_size=4, num_workers=workers, statistics="imagenet"
        )
        data.setup()
        batches.append([data.make_batch(raw, training=True).images for raw in data.train_dataloader()])
        data.teardown()
    assert len(batches[0]) == 6
    for other in batches[1:]:
        assert all(torch.equal(one, two) for one, two in zip(batches[0], other, strict=True))


def test_a_damaged_file_is_named_from_within_a_worker(photos, tmp_path):
    for name in ("ants", "bees"):
        (tmp_path / name).mkdir()
        for file in sorted((photos / name).iterdir())[:6]:
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    for file in (tmp_path / "bees").iterdir():
        file.write_bytes(file.read_bytes()[:200])
    options = {"statistics": "imagenet", "noise": no_noise}
    data = ImageFolderLT(tmp_path, in_memory=False, image_size=16, num_workers=1, **options)
    data.setup()
    with pytest.raises(InputError, match=r"bees/0\d.png: cannot be read .* or pack the images: oponm data prepare"):
        list(data.train_dataloader())


def test_images_that_are_no_files_cannot_be_streamed():
    with pytest.raises(InputError, match="in_memory must be true"):
        DigitsLT(in_memory=False).setup()


def test_workers_are_for_streams():
    with pytest.raises(InputError, match="num_workers must be 0"):
        DigitsLT(num_workers=2)


def test_files_cannot_be_skipped_from_a_stream(photos):
    with pytest.raises(InputError, match="on_error"):
        ImageFolderLT(photos, in_memory=False, on_error="skip").setup()


@pytest.mark.parametrize("workers", [0, 2])
def test_one_loader_and_its_processes_serve_every_epoch(photos, workers):
    asked = [EpochInput(), EpochInput("class_balanced", progress=0.5), EpochInput("instance")]

    def module() -> ImageFolderLT:
        data = ImageFolderLT(
            photos, in_memory=False, image_size=16, batch_size=4, num_workers=workers, statistics="imagenet"
        )
        data.setup()
        data.epoch_input = lambda epoch: asked[epoch]
        return data

    def epoch(data: ImageFolderLT, number: int, first_batch: int = 0) -> list[RawBatch]:
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(current_epoch=number, global_rank=0, world_size=1, strategy=strategy)
        loader = data.train_dataloader()
        loader.load_state_dict({"read": first_batch})
        iter(loader)  # as Lightning makes one that it does not use
        assert len(loader) == 6
        return list(loader)

    data, processes = module(), set()
    for number in range(3):
        kept = epoch(data, number, first_batch=2 * (number == 0))  # as a run that goes on within its first epoch
        other = module()
        fresh = epoch(other, number, first_batch=2 * (number == 0))
        other.teardown()
        assert [(raw.epoch, raw.step) for raw in kept] == [(number, step) for step in range(6 - len(kept), 6)]
        for one, other in zip(kept, fresh, strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.targets, other.targets)
        processes |= {child.pid for child in multiprocessing.active_children()}
    next(iter(data.train_dataloader()))  # an epoch that ends early leaves nothing behind for the next
    assert [raw.step for raw in epoch(data, 1)] == list(range(6))
    data.teardown()
    gc.collect()
    end = time.monotonic() + 30  # torch 2.10 ends them by a signal, and does not wait
    while {child.pid for child in multiprocessing.active_children()} & processes:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_trained_run_does_not_depend_on_the_workers(photos, tmp_path):
    weights = []
    for workers in (0, 2):
        options = {"in_memory": False, "image_size": 16, "batch_size": 4, "val": "split", "val_size": 2}
        data = ImageFolderLT(photos, imbalance_ratio=4, num_workers=workers, statistics="imagenet", **options)
        data.setup()
        with derived_randomness(0, "model"):
            module = LongTailModule(SmallCNN(2, in_channels=3, width=2), class_counts=data.class_counts)
        plan = PhasePlan([Phase(1), Phase(1, "class_balanced", noise=True)], 2)
        train(module, data, plan, tmp_path / str(workers), accelerator="cpu")
        weights.append(module.model.state_dict())
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


@pytest.mark.parametrize("in_memory", [True, False])
def test_noise_has_the_own_colors_whatever_images_are_normalized_by(photos, in_memory, caplog):
    loaded = {}
    for name in ("own", "imagenet"):
        with caplog.at_level(logging.INFO):
            loaded[name] = ImageFolderLT(photos, image_size=16, in_memory=in_memory, statistics=name)
            loaded[name].setup()
    own, published = loaded.values()
    assert published.statistics == PUBLISHED["imagenet"] != own.statistics
    assert torch.equal(published.pipeline.noise_transform.noise.mean.flatten(), torch.tensor(own.statistics.mean))
    assert torch.equal(own.pipeline.noise_transform.noise.std, published.pipeline.noise_transform.noise.std)
    assert [data.facts["normalized by"] for data in (own, published)] == ["own", "published imagenet"]
    assert f"normalized by own statistics: {own.statistics}" in caplog.text
    assert f"colors of noise, unless given: own statistics: {own.statistics}" in caplog.text


@pytest.mark.parametrize("packed", [False, True])
def test_own_statistics_of_a_stream_are_those_of_a_sample_for_every_seed(photos, monkeypatch, packed, tmp_path, caplog):
    whole = ImageFolderLT(photos, image_size=16)
    whole.setup()
    monkeypatch.setattr(statistics, "SAMPLE", 7)
    options = {"in_memory": False, "image_size": 16, "batch_size": 4} | ({"pack": tmp_path} if packed else {})
    if packed:
        ImageFolderLT(photos, **options).load_source().packing.make()
    found = []
    for seed in (0, 1):
        data = ImageFolderLT(photos, seed=seed, num_workers=seed, **options)
        with caplog.at_level(logging.INFO):
            data.setup()
        found.append(data.statistics)
    sample = statistics_sample(len(whole.train_set))
    assert len(sample) == 7
    assert found == [channel_statistics(whole.train_set.images[sample])] * 2
    assert data.facts["normalized by"] == "own (of 7 of the 24 training images, drawn by seed 0)"
    assert data.facts["normalized by"] in caplog.text


def test_the_sample_is_fixed():
    sample = statistics_sample(1_000_000)
    assert sample[:3].tolist() == [14, 19, 61]
    assert len(sample.unique()) == 10_000
    assert statistics_sample(10_000).tolist() == list(range(10_000))


def test_colors_of_classes_do_not_depend_on_the_seed(photos):
    made = []
    for options in ({"in_memory": True}, {"in_memory": False}, {"in_memory": False, "seed": 3}):
        data = ImageFolderLT(photos, image_size=16, noise=partial(make_noise, distribution="class_gaussian"), **options)
        data.setup()
        made.append(data.pipeline.noise_transform.noise.mean)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[1], made[2])


def test_other_pixels_change_the_fingerprint_and_not_the_digest(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    before = stream(tmp_path / "photos", training=True)
    digest, fingerprint = before.digest(), before.fingerprint()
    assert (before.digest(), before.fingerprint()) == (digest, fingerprint)
    file = tmp_path / "photos/ants/03.png"
    Image.new("RGB", (24, 30)).save(file)
    after = stream(tmp_path / "photos", training=True)
    assert after.digest() == digest
    overwritten = after.fingerprint()
    assert overwritten != fingerprint
    (tmp_path / "photos/ants/04.png").unlink()
    assert after.fingerprint() not in (fingerprint, overwritten)


def test_the_digest_is_what_it_was():
    files = np.array([Path("/sets/photos/ants/1.png"), Path("photos/bees/é.png"), Path("2.png")], dtype=object)
    lines = "7\tphotos/ants/1.png\n0\tphotos/bees/é.png\n1\t2.png\n"
    data = StreamedImages(files, torch.tensor([7, 0, 1]), Form(16), training=False)
    assert data.digest() == hashlib.sha256(lines.encode()).hexdigest()
