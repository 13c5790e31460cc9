from __future__ import annotations

import importlib
import sys
from hashlib import sha256

import pytest

from oponm.own_code import UnknownCode, own_code, targets


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A package, a module and a folder without ``__init__.py``, none of them imported."""
    files = {
        "mine/__init__.py": "from .losses import Focal\n",
        "mine/losses.py": "import math\nimport torch\nfrom . import parts\n\nclass Focal: ...\n",
        "mine/parts.py": "def scale():\n    import helpers.numbers\n",
        "mine/unused.py": "",
        "helpers/numbers.py": "import mine.losses\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mine", "helpers")]:
        del sys.modules[name]


USED = ["helpers.numbers", "mine", "mine.losses", "mine.parts"]


def test_a_file_and_all_that_it_imports_count_whether_imported_yet_or_not(tree):
    found = own_code(["mine.Focal"])
    assert list(found) == USED
    importlib.import_module("mine")
    assert own_code(["mine.losses.Focal"]) == found
    assert found["mine.parts"] == sha256((tree / "mine/parts.py").read_bytes()).hexdigest()
    assert "mine" not in sys.modules or "helpers.numbers" not in sys.modules


@pytest.mark.parametrize("edited", ["mine/losses.py", "mine/parts.py", "helpers/numbers.py"])
def test_an_edit_anywhere_is_seen(tree, edited):
    before = own_code(["mine.Focal"])
    (tree / edited).write_text((tree / edited).read_text() + "\n")
    after = own_code(["mine.Focal"])
    assert [name for name in before if before[name] != after[name]] == [edited[:-3].replace("/", ".")]


def test_an_edit_after_the_import_counts_once_it_is_loaded(tree):
    """What runs is what was imported."""
    module = importlib.import_module("mine.parts")
    before = own_code(["mine.parts"])
    (tree / "mine/parts.py").write_text("x = 1\n")
    assert own_code(["mine.parts"]) == before
    importlib.reload(module)
    assert own_code(["mine.parts"]) != before


def test_installed_code_is_not_a_users_own():
    assert own_code(["torch.nn.Linear", "timm.create_model", "json.dumps", "oponm.losses.Focal", "no.such.thing"]) == {}


def test_code_that_is_in_no_file(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))
    with pytest.raises(UnknownCode, match="__main__ is in no file"):
        own_code(["__main__.Net"])


def test_imports_by_name_count_where_the_name_is_there_to_read(tree):
    before = own_code(["mine.parts"])
    (tree / "mine/parts.py").write_text("import importlib\nimportlib.import_module('mine.unused')\n")
    assert "mine.unused" in own_code(["mine.parts"])
    assert "mine.unused" not in before
    (tree / "mine/parts.py").write_text("import importlib\nimportlib.import_module('mine.un' + 'used')\n")
    with pytest.raises(UnknownCode, match=r"mine\.parts imports by a name that is computed at run time"):
        own_code(["mine.parts"])


def test_targets_are_found_at_any_depth():
    phases = [{"epochs": 3, "loss": {"_target_": "mine.Focal", "_partial_": True}}]
    settings = {"method": {"phases": phases}, "model": {"_target_": "mine.Net"}}
    assert sorted(targets(settings)) == ["mine.Focal", "mine.Net"]
