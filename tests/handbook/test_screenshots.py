"""The photographs are there, small and shown; the script makes them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from handbook import screenshots
from handbook.screenshots import DOCS, SHOWN
from oponm.errors import InputError
from tests.report.browser import PROGRAM

PICTURES = [*SHOWN, *(f"{name}_dark" for name in SHOWN), "wandb"]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_there_small_and_shown(name):
    file = DOCS / f"{name}.png"
    assert file.stat().st_size < 200_000
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
    links = [link for page in pages for link in re.findall(r'[("]([\w./]+\.png)[)"]', page.read_text(encoding="utf-8"))]
    assert any(link.endswith(f"/{name}.png") for link in links)


@pytest.mark.skipif(PROGRAM is None, reason="no chromium or chrome found: apt-get install chromium")
def test_the_script_makes_them(tmp_path, monkeypatch):
    monkeypatch.setattr(screenshots, "SEEDS", 1)
    monkeypatch.setattr(screenshots, "SHOWN", {"report_classes": SHOWN["report_classes"]})
    screenshots.make(tmp_path, epochs=2)
    light, dark, logged = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        for name in ("report_classes", "report_classes_dark", "wandb")
    )
    assert light.shape == dark.shape
    assert light.mean() > 200 > 60 > dark.mean()
    assert 700 < light.shape[0] < 2000  # two tables, and nothing below
    assert logged.shape[0] > 1200
    assert logged.std() > 30


def test_without_a_browser_it_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"none of chromium, .* is on the PATH: apt-get install chromium"):
        screenshots.make(tmp_path)
    assert not [*tmp_path.iterdir()]
