from __future__ import annotations

from xml.etree import ElementTree

import pytest

from handbook.drawings import DRAWINGS, ROOT


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_committed_drawing_is_that_of_the_script(name):
    written = (ROOT / "docs" / f"{name}.svg").read_text(encoding="utf-8")
    assert written == DRAWINGS[name](), "run python -m handbook.drawings"


@pytest.mark.parametrize("name", DRAWINGS)
def test_it_says_what_it_shows_and_stays_within_its_frame(name):
    picture = ElementTree.fromstring(DRAWINGS[name]())
    space = "{http://www.w3.org/2000/svg}"
    assert picture.find(f"{space}title").text
    width, height = float(picture.get("width")), float(picture.get("height"))
    for box in picture.iter(f"{space}rect"):
        right = float(box.get("x", 0)) + float(box.get("width"))
        bottom = float(box.get("y", 0)) + float(box.get("height"))
        assert right <= width
        assert bottom <= height
    for line in picture.iter(f"{space}text"):
        size = 0.56 * 15 * len(line.text)  # about
        left = float(line.get("x")) - {"start": 0, "middle": size / 2, "end": size}[line.get("text-anchor")]
        assert left >= 0, line.text
        assert left + size <= width, line.text


def test_the_rooms_are_those_of_the_package():
    rooms = DRAWINGS["rooms"]()
    folders = {path.parent.name for path in (ROOT / "oponm").glob("*/__init__.py")}
    assert {folder for folder in folders if f"oponm.{folder}<" not in rooms} == set()
