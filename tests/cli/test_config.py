from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from oponm.cli.config import quote_paths
from oponm.errors import InputError


@pytest.mark.parametrize(
    "name",
    ["photos", "my photos (2)", "a=1,b=2", "it's", 'say "so"', "back\\slash", "{x}[y]", "a:b", "été", "#1; $2"],
    ids=ascii,
)
def test_a_path_arrives_as_it_was_typed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    for key in ("output_dir", "data.root", "checkpoint", "data.draw"):
        (override,) = OverridesParser.create().parse_overrides(quote_paths([f"{key}={name}"]))
        assert override.key_or_group == key
        assert override.value() == name


@pytest.mark.parametrize(
    "argument", ["data.draw=ldam,m2m", "method=erm,open", 'data.root="quoted (1)"', "-m", "output_dir=runs/${seed}"]
)
def test_what_is_no_odd_path_stays(argument):
    assert quote_paths([argument]) == [argument]


@pytest.mark.parametrize(
    "key", ["data.root", "data.pack", "output_dir", "phase_cache", "resume", "checkpoint", "folder"]
)
@pytest.mark.parametrize("value", ["", " ", "''", '""'])
def test_an_empty_path_is_refused(key, value):
    with pytest.raises(InputError, match=f"{key} is empty: name a file or folder"):
        quote_paths(["seed=1", f"{key}={value}"])
    assert quote_paths([f"{key}=.", "~data.root", "data.val="]) == [f"{key}=.", "~data.root", "data.val="]


@pytest.mark.parametrize("pattern", [r"(p\d{2,3})_", "(patient[0-9]+)/", "^([^_]+)_", r"(\w+)\\"])
def test_a_regular_expression_is_taken_as_it_stands(pattern):
    (argument,) = quote_paths([f"data.groups={pattern}"])
    assert OverridesParser.create().parse_override(argument).value() == pattern
    assert quote_paths([argument]) == [argument]
    assert quote_paths(["data.groups=null"]) == ["data.groups=null"]
