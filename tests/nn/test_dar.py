from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from oponm.errors import InputError
from oponm.nn import (
    AuxBatchNorm2d,
    DARBatchNorm1d,
    DARBatchNorm2d,
    DARBatchNorm3d,
    convert_batchnorm,
    noise_routing,
)
from tests.nn.oracle import dar_batch_norm

IS_NOISE = torch.tensor([False, True, False, False, True, False])
KINDS = {1: (DARBatchNorm1d, nn.BatchNorm1d), 2: (DARBatchNorm2d, nn.BatchNorm2d), 3: (DARBatchNorm3d, nn.BatchNorm3d)}


def images(channels: int = 3, size: int = 4, seed: int = 0, **kwargs) -> torch.Tensor:
    return torch.randn(6, channels, size, size, generator=torch.Generator().manual_seed(seed)).to(**kwargs)


def assert_same_state(one: nn.Module, other: nn.Module) -> None:
    state, expected = one.state_dict(), other.state_dict()
    assert list(state) == list(expected)
    for name, tensor in state.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [{}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}, {"dtype": torch.float64}],
    ids=str,
)
@pytest.mark.parametrize("situation", ["no context", "none", "empty mask", "eval"])
def test_without_noise_it_is_batch_norm_to_the_bit(dims, options, situation):
    routed, plain = (cls(3, **options) for cls in KINDS[dims])
    x = torch.randn(6, 3, *[4] * dims, dtype=options.get("dtype"))
    is_noise = {"none": None, "empty mask": torch.zeros(6, dtype=torch.bool), "eval": IS_NOISE}.get(situation)
    for layer in (routed, plain):
        layer.train(situation != "eval")
    for _ in range(2):
        expected = plain(x)
        if situation == "no context":
            assert torch.equal(routed(x), expected)
        else:
            with noise_routing(is_noise):
                assert torch.equal(routed(x), expected)
    assert_same_state(routed, plain)


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_running_statistics_are_those_of_natural_rows(momentum, dtype):
    routed, plain = DARBatchNorm2d(3, momentum=momentum, dtype=dtype), nn.BatchNorm2d(3, momentum=momentum, dtype=dtype)
    for seed in range(3):
        x = images(seed=seed, dtype=dtype) + seed
        plain(x[~IS_NOISE])
        with noise_routing(IS_NOISE):
            routed(x)
    assert routed.num_batches_tracked == 3
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-6
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(routed, name), getattr(plain, name), atol=tolerance, rtol=tolerance)


def test_a_batch_of_noise_alone_leaves_running_statistics_alone():
    layer, untouched = DARBatchNorm2d(3), DARBatchNorm2d(3)
    with noise_routing(torch.ones(6, dtype=torch.bool)):
        output = layer(images())
    torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert_same_state(layer, untouched)


def test_one_natural_value_leaves_running_statistics_alone():
    layer, untouched = DARBatchNorm1d(3), DARBatchNorm1d(3)
    with noise_routing(torch.tensor([True, False])):
        output = layer(torch.randn(2, 3))
    assert torch.equal(output, torch.zeros(2, 3))
    assert_same_state(layer, untouched)


def test_the_noise_statistics_of_aux_are_its_own():
    layer, noise_norm = AuxBatchNorm2d(3), nn.BatchNorm2d(3)
    with noise_routing(IS_NOISE):
        layer(images())
    noise_norm(images()[IS_NOISE])
    torch.testing.assert_close(layer.aux_running_mean, noise_norm.running_mean)
    torch.testing.assert_close(layer.aux_running_var, noise_norm.running_var)


def test_contexts_nest_and_close_after_an_exception():
    layer = DARBatchNorm2d(3, track_running_stats=False)
    plain, first, second = layer(images()), IS_NOISE, ~IS_NOISE

    def expected(mask: torch.Tensor) -> torch.Tensor:
        return dar_batch_norm(images(), mask, torch.ones(3), torch.zeros(3), "none").float()

    with noise_routing(first):
        with noise_routing(second):
            torch.testing.assert_close(layer(images()), expected(second))
        torch.testing.assert_close(layer(images()), expected(first))
        with noise_routing(None):
            assert torch.equal(layer(images()), plain)
        with pytest.raises(KeyError), noise_routing(second):
            raise KeyError
        torch.testing.assert_close(layer(images()), expected(first))
    assert torch.equal(layer(images()), plain)


@pytest.mark.parametrize(
    "mask", [IS_NOISE.long(), IS_NOISE.float(), IS_NOISE[None], [True] * 6], ids=["int", "float", "2d", "list"]
)
def test_a_mask_of_the_wrong_kind_is_refused(mask):
    with pytest.raises(InputError, match=r"is_noise must be a bool tensor of shape \(N,\)"), noise_routing(mask):
        raise AssertionError("not reached")


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_of_the_wrong_length_is_refused(value):
    with (
        pytest.raises(InputError, match=r"shape \(5,\).*shape \(6, 3, 4, 4\)"),
        noise_routing(torch.full((5,), value)),
    ):
        DARBatchNorm2d(3)(images())


def test_wrong_input_dimensions_are_refused_as_by_the_plain_layer():
    with pytest.raises(ValueError, match="expected 4D input"), noise_routing(IS_NOISE):
        DARBatchNorm2d(3)(torch.randn(6, 3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_leaves_statistics_in_float32(dtype):
    model = convert_batchnorm(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), noise_grad="full")
    seen = []
    model[0].register_forward_hook(lambda *hook: seen.append(hook[2]))
    with torch.autocast("cpu", dtype=dtype), noise_routing(IS_NOISE):
        output = model(images())
    output.float().square().sum().backward()
    assert output.dtype == dtype
    assert model[1].running_mean.dtype == torch.float32
    reference = dar_batch_norm(seen[0], IS_NOISE, torch.ones(4), torch.zeros(4), "full")
    torch.testing.assert_close(output.double(), reference, atol=2e-2, rtol=2e-2)
    assert torch.isfinite(model[0].weight.grad).all()


def network(noise_grad: str = "full") -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        stages = [nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()) for _ in range(3)]
    return convert_batchnorm(nn.Sequential(*stages), noise_grad=noise_grad)


def train(model: nn.Sequential, use_reentrant: bool | None, masks: list[torch.Tensor], inside: bool = False) -> None:
    total = torch.zeros(())
    for seed, mask in enumerate(masks):
        x = images(seed=seed).requires_grad_()
        with noise_routing(mask):
            for stage in model:
                x = stage(x) if use_reentrant is None else checkpoint(stage, x, use_reentrant=use_reentrant)
            if inside:
                x.square().sum().backward()
        if len(masks) == 1 and not inside:
            x.square().sum().backward()
        total = total + x.square().sum()
    if len(masks) > 1 and not inside:
        total.backward()


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("noise_grad", ["none", "input", "full"])
@pytest.mark.parametrize("inside", [False, True], ids=["backward outside", "backward inside"])
def test_activation_checkpointing_changes_nothing(use_reentrant, noise_grad, inside):
    plain, checkpointed = network(noise_grad), network(noise_grad)
    for _ in range(2):
        train(plain, None, [IS_NOISE], inside)
        train(checkpointed, use_reentrant, [IS_NOISE], inside)
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert_same_state(plain, checkpointed)


def test_ambiguous_recomputation_is_refused():
    with pytest.raises(RuntimeError, match="several noise_routing passes"):
        train(network(), False, [IS_NOISE, ~IS_NOISE])


def test_a_kept_loss_of_an_earlier_batch_is_no_ambiguity():
    model, kept = network(), []
    for seed in range(2):
        with noise_routing(IS_NOISE):
            loss = checkpoint(model, images(seed=seed).requires_grad_(), use_reentrant=False).square().sum()
        loss.backward()
        kept.append(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_deepcopy_and_pickle_keep_the_layer():
    layer = DARBatchNorm2d(3, noise_grad="input")
    with noise_routing(IS_NOISE):
        layer(images())
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert type(twin) is DARBatchNorm2d
            assert twin.noise_grad == "input"
            assert_same_state(twin, layer)
            assert torch.equal(twin(images()), copy.deepcopy(layer)(images()))


def test_state_dict_is_that_of_the_plain_layer():
    plain, routed = nn.BatchNorm2d(3), DARBatchNorm2d(3)
    plain(images())
    routed.load_state_dict(plain.state_dict())
    plain.load_state_dict(routed.state_dict())
    assert_same_state(plain, routed)


def test_aux_loads_a_plain_state_dict():
    plain, aux = nn.BatchNorm2d(3), AuxBatchNorm2d(3)
    plain(images())
    aux.load_state_dict(plain.state_dict())
    assert torch.equal(aux.aux_running_mean, plain.running_mean)
    assert torch.equal(aux.running_mean, plain.running_mean)
