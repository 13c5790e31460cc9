from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from PIL import Image

from oponm.data import ImageFolderLT
from oponm.training import Run, fit


def photos(folder: Path, shades: tuple[int, int]) -> Path:
    random = np.random.default_rng(0)
    for name, shade in zip(("cat", "dog"), shades, strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(8):
            pixels = random.normal(shade, 20, (8, 8, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def test_images_are_prepared_as_in_training_whatever_the_training_folder_holds_now(tmp_path, caplog):
    photos(tmp_path / "train", (60, 190))
    photos(tmp_path / "test", (70, 200))
    run = fit(ImageFolderLT(tmp_path), method="erm", max_epochs=4, output_dir=tmp_path / "run")
    photos(tmp_path / "train", (5, 15))
    (tmp_path / "train/cat/7.png").unlink()
    later = ImageFolderLT(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = Run.load(run.folder, network=run.network).evaluate(later)
    same = ("metrics", "class_counts", "test_digest", "noise_histogram")
    assert {key: found[key] for key in same} == {key: run.result[key] for key in same}
    assert (found["confusion_matrix"].toarray() == run.confusion_matrix.toarray()).all()
    assert "normalized as in training" in caplog.text
    assert "the test images are not those of the run" not in caplog.text
    assert later.statistics.mean[0] < 0.1  # the module itself stays as it is
    Image.new("RGB", (8, 8)).save(tmp_path / "test/cat/0.png")
    Run.load(run.folder, network=run.network).evaluate(ImageFolderLT(tmp_path))
    assert "the test images are not those of the run" in caplog.text
    assert found["confusion_matrix"].toarray().sum(1).tolist() == [8, 8]
