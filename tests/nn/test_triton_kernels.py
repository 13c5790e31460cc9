"""The Triton kernels against the oracle: on a GPU, and by Triton's interpreter in a process of its own."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.checkpoint import checkpoint

from oponm.nn import convert_batchnorm, noise_routing, routed_batch_norm, synchronize_batchnorm
from oponm.nn.running import update_running_statistics
from tests.nn.oracle import dar_batch_norm
from tests.nn.test_functional import MASKS, make_input, make_mask
from tests.nn.test_shared import oracle as shared_batch_norm
from tests.processes import spawn

# Triton decides on the interpreter when it is imported, so this process is either for it or not.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
on_device = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="needs a CUDA device")

READINGS = ("none", "input", "full")
SHAPES = [(8, 3), (8, 3, 5), (8, 3, 3, 4), (8, 3, 1, 1), (6, 2, 2, 3, 2)]
KINDS = [("dar", "none"), ("dar", "input"), ("dar", "full"), ("aux", "none"), ("aux", "full")]
KINDS += [("standard", "none"), ("standard", "input")]
# One step of the dtype, as the interpreter cuts bfloat16 off where a GPU rounds it.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}
EXACT = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(autouse=True)
def triton_kernel(monkeypatch):
    monkeypatch.setenv("OPONM_KERNEL", "triton")


@pytest.fixture
def small_tiles(monkeypatch):
    """Several tiles for each program, several channels blocks, and several lines of partial sums, for small inputs."""
    from oponm.nn import triton_kernels

    for name, value in {"TILE": 32, "MOST_CHANNELS": 2, "MOST_SPLITS": 3, "LINE": 2}.items():
        monkeypatch.setattr(triton_kernels, name, value)
    triton_kernels._layout.cache_clear()
    yield
    triton_kernels._layout.cache_clear()


@pytest.mark.slow
@pytest.mark.skipif(INTERPRETED, reason="runs this file itself")
def test_the_interpreter_agrees():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-rs", __file__]
    finished = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", finished.stdout)[1]) > 80


def check(shape, rows, dtype, noise_grad, aux=False, memory_format=torch.contiguous_format) -> None:
    """Compare output and gradients with the oracle's."""
    x = make_input(shape, dtype, memory_format).to(DEVICE).requires_grad_()
    parameters = [torch.linspace(0.5, 1.5, shape[1]), torch.linspace(-1, 1, shape[1])]
    parameters += [torch.linspace(2, 1, shape[1]), torch.linspace(1, 2, shape[1])] if aux else []
    parameters = [parameter.to(DEVICE).requires_grad_() for parameter in parameters]
    is_noise = make_mask(rows, shape[0]).to(DEVICE)
    head = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(DEVICE, dtype)

    output = routed_batch_norm(x, is_noise, *parameters, noise_grad=noise_grad).output
    grads = torch.autograd.grad(output, [x, *parameters], head)
    weight, bias, *noise_affine = parameters
    reference = dar_batch_norm(x, is_noise, weight, bias, noise_grad, 1e-5, *noise_affine)
    expected = torch.autograd.grad(
        (reference * head.double()).sum() + 0 * x.sum(), [x, *parameters], allow_unused=True, materialize_grads=True
    )
    assert output.dtype == dtype
    assert (output.stride(), grads[0].stride()) == (x.stride(), x.stride())
    tolerance = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(output.double(), reference, **tolerance)
    for grad, reference_grad in zip(grads, expected, strict=True):
        scale = reference_grad.abs().max().clamp(min=1).double()
        torch.testing.assert_close(grad.double() / scale, reference_grad.double() / scale, **tolerance)


@on_device
@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("rows", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize("noise_grad", READINGS)
def test_every_mask(rows, noise_grad):
    check((8, 3, 2, 3), rows, torch.float32, noise_grad, memory_format=torch.channels_last)


@on_device
@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_shape_dtype_and_memory_format(shape, dtype):
    for memory_format in (torch.contiguous_format, torch.channels_last)[: 2 if len(shape) == 4 else 1]:
        check(shape, MASKS["unsorted"], dtype, "full", memory_format=memory_format)


@on_device
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("noise_grad", READINGS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_affine_parameters_of_noise_rows(dtype, noise_grad, memory_format):
    check((8, 3, 4, 6), MASKS["unsorted"], dtype, noise_grad, aux=True, memory_format=memory_format)


@on_device
def test_tiles_of_their_usual_size():
    check((4, 3, 32, 33), [1, 2], torch.float32, "full")  # several a channel
    check((3, 70, 6, 6), [1], torch.float32, "full", memory_format=torch.channels_last)  # several blocks of channels


@on_device
@pytest.mark.usefixtures("small_tiles")
def test_offsets_of_64_bits(monkeypatch):
    from oponm.nn import triton_kernels

    monkeypatch.setattr(triton_kernels, "LARGEST_INT32", 0)
    triton_kernels._layout.cache_clear()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        check((8, 3, 2, 3), MASKS["unsorted"], torch.float32, "full", memory_format=memory_format)


@on_device
def test_other_strides_are_read_right():
    wide = make_input((8, 6, 4, 6), torch.float32, torch.contiguous_format).to(DEVICE)
    is_noise = make_mask([1, 4], 8).to(DEVICE)
    x = wide[:, ::2].requires_grad_()
    output = routed_batch_norm(x, is_noise, noise_grad="full").output
    (grad,) = torch.autograd.grad(output.sum(), x)  # a gradient that is one number repeated
    reference = dar_batch_norm(x, is_noise, torch.ones(3, device=DEVICE), torch.zeros(3, device=DEVICE), "full")
    torch.testing.assert_close(output.double(), reference, **EXACT)
    torch.testing.assert_close(grad, torch.zeros_like(grad), atol=1e-5, rtol=0)


@on_device
@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    ("kind", "noise_grad", "momentum"),
    [*((*kind, 0.1) for kind in KINDS), ("dar", "none", None), ("aux", "full", None)],
)
def test_layers_are_those_of_torchs_operators(monkeypatch, kind, noise_grad, momentum):
    """Outputs, gradients, running statistics and the number of batches, over two steps, the second of noise alone."""
    layers = [convert_batchnorm(nn.BatchNorm2d(3, momentum=momentum), kind, noise_grad).to(DEVICE)]
    layers.append(copy.deepcopy(layers[0]))
    masks = [make_mask(rows, 6).to(DEVICE) for rows in ([1, 4], range(6))]
    head = torch.randn((6, 3, 2, 3), generator=torch.Generator().manual_seed(1)).to(DEVICE)
    found = []
    for kernel, layer in zip(("triton", "torch"), layers, strict=True):
        monkeypatch.setenv("OPONM_KERNEL", kernel)
        for step, is_noise in enumerate(masks):
            x = make_input((6, 3, 2, 3), torch.float32, torch.channels_last).to(DEVICE).add_(step).requires_grad_()
            with noise_routing(is_noise):
                output = layer(x)
            output.backward(head)
        gradients = [parameter.grad for parameter in layer.parameters()]
        found.append([output.detach(), x.grad, *gradients, *layer.buffers()])
    for mine, expected in zip(*found, strict=True):
        torch.testing.assert_close(mine, expected, **EXACT)


@on_device
@pytest.mark.parametrize("noise_grad", READINGS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_shared_statistics_match_their_oracle(noise_grad, memory_format):
    layer = convert_batchnorm(nn.BatchNorm2d(3), "standard", "none").to(DEVICE)
    layer.noise_grad = noise_grad  # full too, which is a plain layer otherwise
    x = make_input((6, 3, 4, 6), torch.float32, memory_format).to(DEVICE).requires_grad_()
    is_noise, head = make_mask([1, 4], 6).to(DEVICE), make_input((6, 3, 4, 6), torch.float32, memory_format).to(DEVICE)
    head = head.flip(0)
    with noise_routing(is_noise):
        output = layer(x)
    inputs = (x, layer.weight, layer.bias)
    reference = shared_batch_norm(x, is_noise, layer.weight, layer.bias, noise_grad)
    torch.testing.assert_close(output.double(), reference, **EXACT)
    grads = torch.autograd.grad((output * head).sum(), inputs)
    expected = torch.autograd.grad((reference * head).sum(), inputs)
    for grad, reference_grad in zip(grads, expected, strict=True):
        torch.testing.assert_close(grad, reference_grad, atol=1e-4, rtol=1e-4)


@on_device
@pytest.mark.usefixtures("small_tiles")
def test_a_batch_without_a_variance_leaves_running_statistics_alone():
    layer = convert_batchnorm(nn.BatchNorm1d(3)).to(DEVICE)
    untouched = copy.deepcopy(layer)
    with noise_routing(torch.tensor([True, False, True], device=DEVICE)):
        output = layer(torch.randn(3, 3, device=DEVICE))
    assert torch.equal(output[1], torch.zeros(3, device=DEVICE))  # a single value is its bias
    for mine, expected in zip(layer.buffers(), untouched.buffers(), strict=True):
        assert torch.equal(mine, expected)


@on_device
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("step", [0.0, 0.1, 1.0])
def test_running_statistics_of_half_precision(dtype, step):
    running = [torch.full((3,), 2.0, dtype=dtype, device=DEVICE) for _ in range(2)]
    batches, batch = torch.tensor(4, device=DEVICE), torch.tensor([0.5, 1.0, 3.0], device=DEVICE)
    update_running_statistics(*running, batches, batch, batch, torch.tensor(5, device=DEVICE), step)
    assert batches.item() == 5
    expected = [2 + step * (batch - 2), 2 + step * (1.25 * batch - 2)]
    for mine, theirs in zip(running, expected, strict=True):
        torch.testing.assert_close(mine.float(), theirs, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@on_device
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("deviation", [0.1, 1.0])
def test_far_from_zero_statistics_keep_their_digits(memory_format, deviation):
    unit = torch.randn((8, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    x = (deviation * unit + 1000).contiguous(memory_format=memory_format).to(DEVICE).requires_grad_()
    head = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    weight, is_noise = torch.ones(3, device=DEVICE, requires_grad=True), make_mask([2, 5], 8).to(DEVICE)
    routed = routed_batch_norm(x, is_noise, weight, torch.zeros(3, device=DEVICE), noise_grad="full")
    exact = x.detach().double().requires_grad_()
    for group, rows in enumerate((exact[~is_noise], exact[is_noise])):
        torch.testing.assert_close(routed.mean[group].double(), rows.mean((0, 2, 3)), atol=0, rtol=1e-7)
        torch.testing.assert_close(routed.var[group].double(), rows.var((0, 2, 3), correction=0), atol=0, rtol=1e-5)
    reference = dar_batch_norm(exact, is_noise, weight, torch.zeros(3, device=DEVICE), "full")
    tolerance = {"atol": 6e-5 / deviation, "rtol": 1e-4}  # a digit of the mean is worth 6e-5 there
    torch.testing.assert_close(routed.output.double(), reference, **tolerance)
    grads = torch.autograd.grad((routed.output * head).sum(), (x, weight))
    expected = torch.autograd.grad((reference * head).sum(), (exact, weight))
    torch.testing.assert_close(grads[0].double() * deviation, expected[0] * deviation, **tolerance)
    torch.testing.assert_close(grads[1], expected[1], atol=1e-3 / deviation, rtol=1e-3)


@on_device
@pytest.mark.parametrize("rows", [[1, 4], [2]], ids=["two", "one"])
def test_rows_of_zeros_have_a_variance_of_zero(rows):
    x = make_input((6, 3, 4, 4), torch.float32, torch.contiguous_format).to(DEVICE)
    is_noise = make_mask(rows, 6).to(DEVICE)
    x[is_noise] = 0
    x.requires_grad_()
    routed = routed_batch_norm(x, is_noise, noise_grad="full")
    assert torch.equal(routed.var[1], torch.zeros(3, device=DEVICE))
    assert torch.equal(routed.output[is_noise], torch.zeros_like(x[is_noise]))
    (grad,) = torch.autograd.grad(routed.output.square().sum(), x)
    assert torch.isfinite(grad).all()


@on_device
@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("noise_grad", READINGS)
def test_natural_rows_do_not_depend_on_noise_rows(noise_grad):
    x = make_input((8, 3, 2, 2), torch.float32, torch.contiguous_format).to(DEVICE)
    is_noise, spoilt = make_mask([2, 5], 8).to(DEVICE), x.clone()
    spoilt[is_noise] = torch.nan
    found = []
    for values in (x, spoilt):
        values.requires_grad_()
        output = routed_batch_norm(values, is_noise, noise_grad=noise_grad).output
        (grad,) = torch.autograd.grad(output[~is_noise].square().sum(), values)
        found.append((output[~is_noise], grad[~is_noise]))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@on_device
def test_the_large_numbers_of_float16_do_not_overflow():
    x = torch.full((6, 3, 4, 4), 60000.0, dtype=torch.float16, device=DEVICE)
    x[::2] = -60000
    routed = routed_batch_norm(x, make_mask([2, 3], 6).to(DEVICE))
    torch.testing.assert_close(routed.output.float(), x.float().sign(), atol=2e-3, rtol=0)
    torch.testing.assert_close(routed.var, torch.full((2, 3), 3.6e9, device=DEVICE), rtol=1e-3, atol=0)


@on_device
@pytest.mark.parametrize("shared", [False, True], ids=["dar", "shared"])
def test_torch_finds_the_operators_sound(shared):
    from oponm.nn.triton_kernels import fused_batch_norm, track_statistics

    x = make_input((4, 3, 2, 3), torch.float32, torch.channels_last).to(DEVICE).requires_grad_()
    weight, bias = (torch.ones(3, device=DEVICE, requires_grad=True) for _ in range(2))
    of_row = make_mask([1, 2], 4).to(DEVICE).long()
    for affine, noise_grad in itertools.product(
        [(weight, bias, None, None), (weight, bias, weight, bias)], READINGS[::2]
    ):
        if not shared or affine[2] is None:
            torch.library.opcheck(fused_batch_norm, (x, of_row, *affine, 1e-5, noise_grad, shared, False))
    running = [torch.zeros(3, device=DEVICE), torch.ones(3, device=DEVICE), torch.tensor(0, device=DEVICE)]
    batch = [torch.ones(3, device=DEVICE), torch.ones(3, device=DEVICE), torch.tensor(4, device=DEVICE)]
    for momentum in (0.1, None):
        torch.library.opcheck(track_statistics, (*running, *batch, momentum))


def network(kind: str, noise_grad: str) -> nn.Module:
    torch.manual_seed(0)
    parts = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 2), nn.BatchNorm2d(2)
    return convert_batchnorm(nn.Sequential(*parts), kind, noise_grad).to(DEVICE)


def assert_same_training(one: nn.Module, other: nn.Module) -> None:
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, **EXACT)
    for mine, theirs in zip(one.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, **EXACT)


@on_device
@pytest.mark.parametrize(("kind", "noise_grad"), [("aux", "full"), ("standard", "input")])
def test_one_compiled_graph_serves_every_mask(kind, noise_grad):
    from torch._dynamo.testing import CompileCounterWithBackend  # the processes of a test below do without it

    torch._dynamo.reset()
    eager, traced = network(kind, noise_grad), network(kind, noise_grad)
    counter = CompileCounterWithBackend("aot_eager" if INTERPRETED else "inductor")
    compiled = torch.compile(traced, backend=counter, fullgraph=True)
    for rows in ([0], [1, 3], list(range(6))):
        x = torch.randn(6, 3, 6, 6, generator=torch.Generator().manual_seed(len(rows))).to(DEVICE)
        for model in (eager, compiled):
            with noise_routing(make_mask(rows, 6).to(DEVICE)):
                output = model(x)
            output.square().mean().backward()
    assert counter.frame_count == 1
    names = [str(node.target) for graph in counter.graphs for node in graph.graph.nodes]
    assert sum("oponm.routed_batch_norm" in name or "fused_batch_norm" in name for name in names) == 2, names
    assert_same_training(eager, traced)


@on_device
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_activation_checkpointing_changes_nothing(use_reentrant):
    plain, checkpointed = network("dar", "full"), network("dar", "full")
    for model in (plain, checkpointed):
        x = make_input((6, 3, 6, 6), torch.float32, torch.contiguous_format).to(DEVICE).requires_grad_()
        with noise_routing(make_mask([1, 4], 6).to(DEVICE)):
            output = model(x) if model is plain else checkpoint(model, x, use_reentrant=use_reentrant)
        output.square().sum().backward()
    assert_same_training(plain, checkpointed)


@on_device
def test_export_sees_one_operator():
    class Routed(nn.Module):
        def forward(self, x: torch.Tensor, is_noise: torch.Tensor) -> torch.Tensor:
            return routed_batch_norm(x, is_noise).output

    x = make_input((6, 3, 2, 3), torch.float32, torch.contiguous_format).to(DEVICE)
    is_noise = make_mask([1, 4], 6).to(DEVICE)
    exported = torch.export.export(Routed(), (x, is_noise))
    targets = [str(node.target) for node in exported.graph.nodes]
    assert targets.count("oponm.routed_batch_norm.default") == 1
    other = make_mask([0], 6).to(DEVICE)
    torch.testing.assert_close(exported.module()(x, other), Routed()(x, other))


STEPS = [("dar", "none"), ("aux", "full"), ("standard", "none"), ("standard", "input")]


def step(kind: str, noise_grad: str, part: slice, count: int) -> list[torch.Tensor]:
    """Outputs, gradients and statistics of a step on a part of a batch of 6; the last process has noise alone."""
    model = synchronize_batchnorm(network(kind, noise_grad)) if count > 1 else network(kind, noise_grad)
    x = make_input((6, 3, 6, 6), torch.float32, torch.contiguous_format)[part].to(DEVICE).requires_grad_()
    with noise_routing(make_mask([1, 3, 4, 5], 6)[part].to(DEVICE)):
        output = model(x)
    output.square().sum().backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return [output.detach(), x.grad, *gradients, *model.buffers()]


def work(rank: int, folder: str) -> None:
    os.environ["OPONM_KERNEL"] = "triton"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.save([step(*kind, slice(3 * rank, 3 * rank + 3), 2) for kind in STEPS], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@on_device
@pytest.mark.skipif(not INTERPRETED, reason="the processes share a device")
def test_two_processes_synchronize_their_statistics(tmp_path):
    spawn(work, (str(tmp_path),), 2)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    number = len(list(network("dar", "none").parameters()))
    for case, kind in enumerate(STEPS):
        expected, (first, second) = step(*kind, slice(0, 6), 1), (of_rank[case] for of_rank in ranks)
        gradients = len(list(network(*kind).parameters()))
        assert gradients == number + (4 if kind[0] == "aux" else 0)
        for place, theirs in enumerate(expected):
            if place < 2:
                mine = torch.cat([first[place], second[place]])
            elif place < 2 + gradients:
                mine = first[place] + second[place]  # each process's share
            else:
                mine = first[place]
                assert torch.equal(mine, second[place])
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


ONES = dict.fromkeys(("values", "channels", "rows", "splits"), 1)  # Triton makes constants of arguments that are 1


@pytest.mark.skipif(INTERPRETED, reason="compiles")
@pytest.mark.parametrize(
    "changes",
    [
        {"noise_weight": None, "noise_bias": None, "STOPS": True, "AVERAGE": True},
        {
            "LAST": False,
            "VALUES": 2048,
            "CHANNELS": 1,
            "WIDE": True,
            "SHARED": True,
            "weight": None,
            "bias": None,
            **ONES,
        },
    ],
    ids=["channels last", "contiguous, of one value"],
)
def test_the_kernels_compile_for_a_gpu_without_one(tmp_path, monkeypatch, changes):
    """The interpreter takes more than the compiler does."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from oponm.nn import triton_kernels

    constants = {"MAP": 64, "LAST": True, "WIDE": False, "VALUES": 32, "CHANNELS": 64, "SHARED": False, "STOPS": False}
    constants |= {"SPLITS": 128, "LINE": 16, "ROWS": 128, "FULL": True, "OWN": True, "AVERAGE": False, **changes}
    types = {"x": "*bf16", "grad": "*bf16", "output": "*bf16", "of_row": "*i64", "count": "*i64", "batches": "*i64"}
    types |= dict.fromkeys(ONES, "i32") | {"eps": "fp32", "momentum": "fp32"}
    kernels = [kernel for name, kernel in vars(triton_kernels).items() if name.endswith("_kernel")]
    assert len(kernels) == 7
    for kernel in kernels:
        assert inspect.getdoc(kernel.fn)
        known = {(place,): constants[name] for place, name in enumerate(kernel.arg_names) if name in constants}
        signature = {name: "constexpr" if name in constants else types.get(name, "*fp32") for name in kernel.arg_names}
        compiled = triton.compile(ASTSource(kernel, signature, known), target=GPUTarget("cuda", 90, 32))
        assert "ptx" in compiled.asm
