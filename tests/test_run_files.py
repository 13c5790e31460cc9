from __future__ import annotations

import pytest

from oponm.errors import InputError
from oponm.run_files import new_files
from tests.cli.command import files_below


def test_files_appear_together(tmp_path):
    wanted = [tmp_path / "a/b/one", tmp_path / "a/b/two"]
    with new_files(wanted) as temporary:
        for path in temporary:
            path.write_text(path.name)
        assert not (tmp_path / "a").exists()
    assert files_below(tmp_path) == {"a/b/one", "a/b/two"}


def _write_half(folder):
    with new_files([folder / "one", folder / "x/two"], overwrite=True) as paths:
        paths[0].write_text("half")
        raise KeyboardInterrupt


def test_after_a_failure_nothing_is_left(tmp_path):
    (tmp_path / "one").write_text("before")
    with pytest.raises(KeyboardInterrupt):
        _write_half(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_text() == "before"


def test_files_are_replaced_on_demand_alone(tmp_path):
    (tmp_path / "one").write_text("before")
    with pytest.raises(InputError, match="overwrite=true"), new_files([tmp_path / "one"]):
        pass
    with new_files([tmp_path / "one"], overwrite=True) as (path,):
        path.write_text("after")
    assert (tmp_path / "one").read_text() == "after"


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(InputError, match="output names a folder"), new_files([tmp_path], overwrite=True):
        pass


def test_data_beside_a_file_goes_with_it(tmp_path):
    place, data = tmp_path / "out/model.onnx", tmp_path / "out/model.onnx.data"
    with new_files([place]) as (temporary,):
        temporary.write_text("graph")
        temporary.with_name("model.onnx.data").write_text("weights")
    assert (place.read_text(), data.read_text()) == ("graph", "weights")
    place.unlink()

    def another():
        with new_files([place]) as (temporary,):
            temporary.write_text("another")
            temporary.with_name("model.onnx.data").write_text("another's")

    with pytest.raises(InputError, match=r"model.onnx.data exists"):
        another()
    assert (place.exists(), data.read_text()) == (False, "weights")
