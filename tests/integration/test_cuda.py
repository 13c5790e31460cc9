"""What a GPU does beside arithmetic: waits, CUDA graphs, the scaling of losses, pinned memory, process groups."""

from __future__ import annotations

import copy
import importlib.util
import os

import pytest
import torch
import torch.distributed as dist
from torch import nn

from benchmarks.workload import Setting, make_step
from oponm.data import DigitsLT
from oponm.data.loader import Loader
from oponm.data.pipeline import RawBatch
from oponm.data.samplers import IndexBatch
from oponm.models import SmallCNN
from oponm.nn import convert_batchnorm, noise_routing
from oponm.training import fit
from oponm.training.distributed import join
from tests.processes import spawn

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
KERNELS = ("torch", "triton") if importlib.util.find_spec("triton") else ("torch",)


@pytest.fixture(params=KERNELS)
def kernel(request, monkeypatch) -> str:
    monkeypatch.setenv("OPONM_KERNEL", request.param)
    torch._dynamo.reset()
    return request.param


def network(kind: str = "dar", noise_grad: str = "full") -> nn.Module:
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)
    model = convert_batchnorm(nn.Sequential(*parts), kind, noise_grad)
    return model.to("cuda", memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", ["dar", "aux", "standard"])
def test_layers_do_not_wait_for_the_device(kernel, kind):
    model, x = network(kind, "input"), torch.randn(8, 3, 8, 8, device="cuda")
    is_noise = torch.arange(8, device="cuda") % 3 == 0
    for mode in ("default", "error"):  # the first step compiles
        torch.cuda.set_sync_debug_mode(mode)
        try:
            with noise_routing(is_noise):
                model(x).square().mean().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_a_step_does_not_wait_for_the_device(kernel):
    setting = Setting(16, "cuda", torch.bfloat16, channels_last=True)
    step = make_step(lambda: nn.Sequential(SmallCNN(64), nn.Linear(64, 10)), "open", setting)
    for mode in ("default", "default", "error"):
        torch.cuda.set_sync_debug_mode(mode)
        try:
            loss = step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(loss)


@pytest.mark.parametrize("kind", ["dar", "aux", "standard"])
def test_one_cuda_graph_serves_every_mask(kernel, kind):
    model = network(kind, "input")
    x, is_noise = torch.randn(8, 3, 8, 8, device="cuda"), torch.zeros(8, dtype=torch.bool, device="cuda")

    def step(module: nn.Module) -> torch.Tensor:
        module.zero_grad(set_to_none=False)
        with noise_routing(is_noise):
            output = module(x)
        output.square().mean().backward()
        return output

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(model)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = step(model)
    expected = copy.deepcopy(model)
    for rows in ([1, 2], [], list(range(8)), [7]):
        is_noise.zero_()
        is_noise[rows] = True
        graph.replay()
        torch.testing.assert_close(output, step(expected))
        for mine, theirs in zip(model.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-4)
        for mine, theirs in zip(model.buffers(), expected.buffers(), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_scaled_losses_of_float16_have_the_gradients_of_float32(kernel):
    model, x = network(), torch.randn(8, 3, 8, 8, device="cuda")
    plain, is_noise = copy.deepcopy(model), torch.arange(8, device="cuda") >= 6
    optimizer, scaler = torch.optim.SGD(model.parameters(), lr=0.0), torch.amp.GradScaler("cuda", init_scale=2.0**10)
    with torch.autocast("cuda", dtype=torch.float16), noise_routing(is_noise):
        output = model(x)
    scaler.scale(output.float().square().mean()).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**10  # no gradient overflowed
    with noise_routing(is_noise):
        plain(x).square().mean().backward()
    for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-2, rtol=5e-2)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"precision": "16-mixed"}, {"compile": True, "compile_mode": "reduce-overhead"}])
def test_a_run(kernel, options):
    run = fit(DigitsLT(imbalance_ratio=50), method="open", max_epochs=4, accelerator="gpu", **options)
    assert run.result["metrics"]["accuracy"] > 0.3


def test_batches_of_a_reader_lie_in_pinned_memory():
    class Stored(torch.utils.data.Dataset):
        def __getitems__(self, batch: IndexBatch) -> RawBatch:
            number = len(batch.indices)
            images = torch.zeros(number, 3, 4, 4, dtype=torch.uint8)
            return RawBatch(images, torch.zeros(number).long(), batch.epoch, batch.step)

    for workers in (0, 1):
        loader = Loader(Stored(), num_workers=workers, pin_memory=True)
        (batch,) = loader.over([IndexBatch(torch.arange(2), epoch=0, step=0)])
        assert batch.images.is_pinned()
        assert batch.targets.is_pinned()
        loader.close()


def work(rank: int, port: int) -> None:
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}
    os.environ["MASTER_PORT"] = str(port)
    join()
    for device in ("cpu", "cuda"):
        total = torch.ones(2, device=device)
        dist.all_reduce(total)
        assert total.tolist() == [1, 1]
    dist.destroy_process_group()


def test_one_process_group_serves_both_devices():
    spawn(work, (29500 + os.getpid() % 1000,), 1)
