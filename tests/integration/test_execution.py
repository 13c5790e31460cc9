"""How a run is executed: memory format, torch.compile, synchronized batch norm."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from torch import nn

from oponm.errors import InputError
from oponm.training import BatchNormSync, LongTailModule, PhasePlan, fit, train
from tests.training.small import OPEN, make_data, make_module


def trained(folder, epochs=2, **options):
    data = make_data()
    made = make_module(data)
    made.model[1].p = 0.0  # what dropout strikes depends on the order of rows
    module = LongTailModule(made.model, class_counts=data.class_counts, optimizer=made.make_optimizer, **options)
    return module, train(module, data, PhasePlan(OPEN, epochs), folder, accelerator="cpu")


def test_channels_last_is_kept_and_changes_nothing_but_rounding(tmp_path):
    module, result = trained(tmp_path / "last", channels_last=True)
    plain, expected = trained(tmp_path / "first")
    convolutions = [part for part in module.modules() if isinstance(part, nn.Conv2d) and part.in_channels > 1]
    assert convolutions
    assert all(part.weight.is_contiguous(memory_format=torch.channels_last) for part in convolutions)
    seen = []
    module.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0]))
    module(torch.zeros(2, 3, 8, 8)[:, :1].contiguous())
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    for mine, theirs in zip(module.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)
    assert result["metrics"]["accuracy"] == pytest.approx(expected["metrics"]["accuracy"], abs=0.02)


@pytest.mark.slow
def test_compiled_graphs_do_not_grow_with_the_epochs(tmp_path, monkeypatch):
    def compile_quickly(self, **options):
        assert options == {"dynamic": False, "mode": "default"}
        del options["mode"]  # of inductor
        self._compiled_call_impl = torch.compile(self._call_impl, backend="aot_eager", **options)

    monkeypatch.setattr(nn.Module, "compile", compile_quickly)
    graphs, losses = [], []
    for epochs in (2, 6):  # of which the second half has noise, in another number of rows each step
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        module, _ = trained(tmp_path / str(epochs), epochs, compile=True)
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
        losses.append(module.model[2].weight.detach().clone())
    assert 0 < graphs[0] == graphs[1]
    plain, _ = trained(tmp_path / "plain", 6)
    torch.testing.assert_close(losses[1], plain.model[2].weight.detach(), atol=1e-4, rtol=1e-3)


def test_the_mode_of_the_compiler_reaches_it(monkeypatch):
    asked = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: asked.append(options))
    data = make_data()
    for options in ({}, {"compile_mode": "reduce-overhead"}):
        LongTailModule(make_module(data).model, class_counts=data.class_counts, compile=True, **options)
    assert [each["mode"] for each in asked] == ["default", "reduce-overhead"]


def test_an_unknown_mode_of_the_compiler_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"compile_mode must be one of default, reduce-overhead, .*'fast'"):
        fit(make_data(), max_epochs=2, compile_mode="fast", output_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_lightnings_own_synchronization_is_refused():
    for sync in (TorchSyncBatchNorm(), BatchNormSync()):
        module = make_module(make_data())
        module.plan = PhasePlan(OPEN, 2)
        module.model = sync.apply(module.model)  # as the strategy does before training
        if isinstance(sync, TorchSyncBatchNorm):
            with pytest.raises(InputError, match="BatchNormSync"):
                module.on_fit_start()
        else:
            module.on_fit_start()
