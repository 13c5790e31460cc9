from __future__ import annotations

import importlib.util

import pytest
import torch

from oponm.errors import InputError
from oponm.nn.kernel import chosen_kernel, runs_on_triton
from oponm.training import fit
from tests.training.small import make_data


@pytest.mark.parametrize("value", [None, "", "auto", "torch"])
def test_torch_is_the_kernel_unless_triton_is_asked_for(monkeypatch, value):
    monkeypatch.delenv("OPONM_KERNEL", raising=False)
    if value is not None:
        monkeypatch.setenv("OPONM_KERNEL", value)
    assert chosen_kernel() == "torch"
    assert not runs_on_triton(torch.ones(2, 3))


def test_another_value_is_refused(monkeypatch):
    monkeypatch.setenv("OPONM_KERNEL", "cuda")
    with pytest.raises(InputError, match="OPONM_KERNEL must be one of auto, torch, triton, got 'cuda'"):
        chosen_kernel()


def test_triton_where_it_is_not_installed(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "triton" else found(name))
    monkeypatch.setenv("OPONM_KERNEL", "triton")
    with pytest.raises(InputError, match=r"OPONM_KERNEL is triton, .* pip install triton, or set OPONM_KERNEL=torch"):
        chosen_kernel()


def test_a_run_without_a_gpu_says_so_before_it_writes(monkeypatch, tmp_path):
    pytest.importorskip("triton")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("OPONM_KERNEL", "triton")
    with pytest.raises(InputError, match="OPONM_KERNEL is triton, and there is no GPU for it: set OPONM_KERNEL=torch"):
        fit(make_data(), max_epochs=2, output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
