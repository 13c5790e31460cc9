from __future__ import annotations

import functools

import pytest
from omegaconf import OmegaConf

from handbook.config_reference import COMMANDS, CONF, SHOWN_WHOLE, config_reference, meanings, read_config
from oponm.configs import groups

FILES = [CONF / f"{command}.yaml" for command in COMMANDS] + [
    path for path in sorted(CONF.glob("*/**/*.yaml")) if path.relative_to(CONF).parts[0] not in SHOWN_WHOLE
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_every_key_has_its_default_and_a_meaning(path):
    config, meaning = read_config(path), meanings(path)
    assert config.about
    prefix = f"{path.parent.name}."
    assert [entry.key for entry in config.entries if not meaning[entry.key.removeprefix(prefix)]] == []
    content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    for entry in config.entries:
        written = OmegaConf.to_container(OmegaConf.create(f"x: {entry.default}"), resolve=False)["x"]
        value = functools.reduce(lambda above, name: above[name], entry.key.split("."), content)
        assert value == written, entry.key


def test_the_page_has_every_choice_and_key():
    page = config_reference()
    for group, choices in groups().items():
        assert f"\n## {group}\n" in page
        assert all(f"\n### {group}={choice}\n" in page for choice in choices)
    assert "| `trainer.max_epochs` | `200` | length of the run; phases and schedules scale with it |" in page
    assert "| `data.val_size` | `0.1` |" in page
    assert "| `seed` | `0` |" in page


def test_a_comment_goes_on_where_it_is_indented():
    meaning = meanings(CONF / "data/_own_images.yaml")["resize"]
    assert meaning.startswith("how images of another shape")
    assert meaning.endswith("with the image's own mean color")


def test_a_key_without_a_comment_has_that_of_the_file_below(tmp_path):
    (tmp_path / "_base.yaml").write_text("# Base.\nrate: 1 # how fast\n")
    (tmp_path / "mine.yaml").write_text("# Mine.\ndefaults: [_base, _self_]\nrate: 2\nother: '#no' # it is\n")
    assert meanings(tmp_path / "mine.yaml") == {"rate": "how fast", "other": "it is"}
    assert [entry.default for entry in read_config(tmp_path / "mine.yaml").entries] == ["2", "'#no'"]
