from __future__ import annotations

import pytest

from oponm.logging import class_labels as module
from oponm.logging.class_labels import class_labels, fonts_for


def test_other_scripts_have_matplotlibs_font_where_it_has_them(caplog):
    assert class_labels(["кошка", "γάτα", "café"]) == (["кошка", "γάτα", "café"], ["DejaVu Sans"])
    assert not caplog.records


def test_what_no_font_has_is_spelled_and_one_warning_says_so(monkeypatch, caplog):
    real = fonts_for
    monkeypatch.setattr(module, "fonts_for", lambda characters: real(characters, among=[]))
    texts, fonts = class_labels(["ネコ", "कल", "犬", "dog", "two犬"])
    assert (texts, fonts) == (["neko", "kala", "<72ac>", "dog", "two<72ac>"], ["DejaVu Sans"])
    (record,) = caplog.records
    assert "no installed font has क ल コ ネ 犬" in record.getMessage()


def test_placeholders_are_no_font():
    families, missing = fonts_for("\U0010fffd")  # for private use: in fonts of boxes only
    assert missing == {"\U0010fffd"}
    assert families == ["DejaVu Sans"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a" * 200, "a" * 27 + " ... " + "a" * 27),
        ("one two three four five six seven", "one two three four\nfive six seven"),
        ("a\nb", "a?b"),
    ],
)
def test_long_names_take_several_lines(name, text):
    (found,), _ = class_labels([name])
    assert found.replace("\n", "") == text.replace("\n", "")
    assert max(map(len, found.split("\n"))) <= 20
