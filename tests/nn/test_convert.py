from __future__ import annotations

import copy
import functools
import io
import pickle

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from timm.layers import BatchNormAct2d
from timm.layers.norm_act import SyncBatchNormAct
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

import oponm.nn.convert
from oponm.errors import InputError
from oponm.models import WideResNet
from oponm.nn import (
    AuxBatchNorm1d,
    AuxBatchNorm2d,
    AuxBatchNorm3d,
    DARBatchNorm1d,
    DARBatchNorm2d,
    DARBatchNorm3d,
    convert_batchnorm,
    noise_routing,
    revert_batchnorm,
)
from oponm.nn.dar import RoutedBatchNorm
from tests.nn.oracle import dar_batch_norm

NETWORKS = {
    "torchvision resnet18": (torchvision.models.resnet18, 20, nn.BatchNorm2d),
    "torchvision efficientnet_b0": (torchvision.models.efficientnet_b0, 49, nn.BatchNorm2d),
    "torchvision mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, 34, nn.BatchNorm2d),
    "timm resnet18": (functools.partial(timm.create_model, "resnet18"), 20, nn.BatchNorm2d),
    "timm efficientnet_b0": (functools.partial(timm.create_model, "efficientnet_b0"), 49, BatchNormAct2d),
    "timm mobilenetv3_small_100": (functools.partial(timm.create_model, "mobilenetv3_small_100"), 34, BatchNormAct2d),
}
PREFIX = {"dar": "DAR", "aux": "Aux"}
OWN = {
    nn.BatchNorm1d: (DARBatchNorm1d, AuxBatchNorm1d),
    nn.BatchNorm2d: (DARBatchNorm2d, AuxBatchNorm2d),
    nn.BatchNorm3d: (DARBatchNorm3d, AuxBatchNorm3d),
}
IS_NOISE = torch.tensor([False, True, False, False, True, False])
ALL_NOISE = torch.ones(6, dtype=torch.bool)

every_network = pytest.mark.parametrize("name", NETWORKS)
every_kind = pytest.mark.parametrize("kind", ["dar", "aux"])
every_reading = pytest.mark.parametrize("noise_grad", ["none", "input", "full"])


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def images(rows: int = 6, size: int = 32, seed: int = 0, channels: int = 3) -> torch.Tensor:
    return torch.randn(rows, channels, size, size, generator=torch.Generator().manual_seed(seed))


@functools.cache
def master(name: str) -> nn.Module:
    """A network whose affine parameters and running statistics are not those it was born with."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = NETWORKS[name][0](num_classes=5)
        for layer in batch_norms(model):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
        model(images(seed=1))
    return model


def network(name: str) -> nn.Module:
    return copy.deepcopy(master(name))


def batch_norms(model: nn.Module) -> list[nn.Module]:
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]


def predict(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    modes = {layer: layer.training for layer in model.modules()}
    model.eval()
    with torch.no_grad(), noise_routing(torch.arange(len(x)) % 2 == 0):
        logits = model(x)
    for layer, training in modes.items():
        layer.training = training
    return logits


def identities(model: nn.Module) -> dict[str, int]:
    return {name: id(tensor) for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def without_aux(names: dict[str, object]) -> list[str]:
    return [name for name in names if not name.rpartition(".")[2].startswith("aux_")]


def assert_same_state(one: nn.Module, other: nn.Module, exactly: bool = True) -> None:
    state, expected = one.state_dict(), other.state_dict()
    assert list(state) == list(expected)
    for name, tensor in state.items():
        if exactly:
            assert torch.equal(tensor, expected[name]), name
        else:
            torch.testing.assert_close(tensor, expected[name], msg=lambda text, name=name: f"{name}: {text}")


@every_network
@pytest.mark.parametrize(("kind", "noise_grad"), [("dar", "none"), ("dar", "full"), ("aux", "input")])
def test_every_layer_is_converted_in_place_and_back(name, kind, noise_grad):
    _, number, plain = NETWORKS[name]
    model = network(name)
    ids, keys, expected = identities(model), list(model.state_dict()), predict(model, images(seed=2))

    assert convert_batchnorm(model, kind, noise_grad) is model
    layers = batch_norms(model)
    assert len(layers) == number
    assert {type(layer).__name__ for layer in layers} == {f"{PREFIX[kind]}{plain.__name__}"}
    assert all(isinstance(layer, plain) and layer.noise_grad == noise_grad for layer in layers)
    assert without_aux(model.state_dict()) == keys
    assert len(model.state_dict()) - len(keys) == (5 * number if kind == "aux" else 0)
    converted = identities(model)
    assert {tensor: converted[tensor] for tensor in ids} == ids
    assert torch.equal(predict(model, images(seed=2)), expected)

    assert revert_batchnorm(model) is model
    assert {type(layer) for layer in batch_norms(model)} == {plain}
    assert list(model.state_dict()) == keys
    assert identities(model) == ids
    assert torch.equal(predict(model, images(seed=2)), expected)


@every_network
@every_kind
def test_predictions_survive_the_way_back_after_routed_training(name, kind):
    model = convert_batchnorm(network(name), kind, "full")
    before = predict(model, images(seed=2))
    with noise_routing(IS_NOISE):
        F.cross_entropy(model(images()), torch.arange(6) % 5).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-3 * parameter.grad.sign()
    trained = predict(model, images(seed=2))
    assert torch.isfinite(trained).all()
    assert not torch.equal(trained, before)
    assert torch.equal(predict(revert_batchnorm(model), images(seed=2)), trained)


@every_network
@every_kind
def test_training_without_routing_is_the_plain_network_to_the_bit(name, kind):
    plain, routed = network(name), convert_batchnorm(network(name), kind, "full")
    for model in (plain, routed):
        torch.manual_seed(3)
        logits = model(images())
        F.cross_entropy(logits, torch.arange(6) % 5).backward()
    expected = dict(plain.named_parameters())
    for tensor, parameter in routed.named_parameters():
        if tensor in expected:
            assert torch.equal(parameter.grad, expected[tensor].grad), tensor
        else:
            assert parameter.grad is None, tensor
    assert_same_state(revert_batchnorm(routed), plain)


@every_network
@every_kind
def test_routing_changes_every_layers_training(name, kind):
    plain, routed = network(name), convert_batchnorm(network(name), kind)
    x = images() * torch.where(IS_NOISE, 3.0, 1.0)[:, None, None, None]
    torch.manual_seed(3)
    plain(x)
    torch.manual_seed(3)
    with noise_routing(IS_NOISE):
        logits = routed(x)
    assert torch.isfinite(logits).all()
    for layer, expected in zip(batch_norms(routed), batch_norms(plain), strict=True):
        assert layer.num_batches_tracked == expected.num_batches_tracked
        assert not torch.equal(layer.running_var, expected.running_var)


@every_kind
def test_modes_hooks_and_frozen_parameters_are_kept(kind):
    model, calls = network("timm mobilenetv3_small_100"), []
    model.bn1.eval()
    model.bn1.weight.requires_grad_(False)
    model.bn2 = model.blocks[0][0].bn1
    model.bn2.bias.requires_grad_(False)
    for event in ("forward_pre", "forward", "full_backward"):
        getattr(model.bn2, f"register_{event}_hook")(lambda *_, event=event: calls.append(event))
    modes = [layer.training for layer in model.modules()]
    frozen = [tensor for tensor, parameter in model.named_parameters() if not parameter.requires_grad]
    for step in (lambda: convert_batchnorm(model, kind, "full"), lambda: revert_batchnorm(model)):
        step()
        assert [layer.training for layer in model.modules()] == modes
        still = [tensor for tensor, parameter in model.named_parameters() if not parameter.requires_grad]
        assert without_aux(dict.fromkeys(still)) == frozen
        assert len(still) == len(frozen) * (2 if kind == "aux" and isinstance(model.bn1, RoutedBatchNorm) else 1)
        calls.clear()
        statistics = model.bn1.running_mean.clone()
        with noise_routing(IS_NOISE):
            model(images()).sum().backward()
        assert calls == ["forward_pre", "forward", "full_backward"]
        assert torch.equal(model.bn1.running_mean, statistics)
        assert model.bn1.weight.grad is None


class Halve(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.5


def activated_layer(**options) -> BatchNormAct2d:
    layer = BatchNormAct2d(3, **options)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, 1.5]))
        layer.bias.copy_(torch.tensor([-0.5, 0.0, 0.5]))
    return layer


@every_kind
@every_reading
@pytest.mark.parametrize("rows", [[1, 4], [0], [0, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]], ids=str)
@pytest.mark.parametrize(
    ("options", "act"),
    [
        ({"act_layer": nn.ReLU}, F.relu),
        ({"act_layer": nn.SiLU, "drop_layer": Halve}, lambda x: F.silu(x / 2)),
        ({"apply_act": False, "drop_layer": Halve, "eps": 1e-3}, lambda x: x / 2),
    ],
    ids=["relu", "halve and silu", "halve alone"],
)
def test_a_layer_with_an_activation_keeps_it(kind, noise_grad, rows, options, act):
    layer = convert_batchnorm(activated_layer(**options), kind, noise_grad)
    noise_affine = []
    if kind == "aux":
        noise_affine = [layer.aux_weight, layer.aux_bias]
        with torch.no_grad():
            layer.aux_weight.copy_(torch.tensor([2.0, 0.7, 1.0]))
            layer.aux_bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
    is_noise = torch.zeros(6, dtype=torch.bool)
    is_noise[rows] = True
    x, head = images(size=4).requires_grad_(), images(size=4, seed=1).double()
    leaves = [x, layer.weight, layer.bias, *noise_affine]

    with noise_routing(is_noise):
        output = layer(x)
    reference = act(dar_batch_norm(x, is_noise, layer.weight, layer.bias, noise_grad, layer.eps, *noise_affine))
    torch.testing.assert_close(output.double(), reference, atol=1e-5, rtol=1e-5)
    grads = torch.autograd.grad((output.double() * head).sum(), leaves)
    expected = torch.autograd.grad((reference * head).sum() + 0 * x.sum(), leaves, allow_unused=True)
    for grad, reference_grad in zip(grads, expected, strict=True):
        wanted = torch.zeros_like(grad) if reference_grad is None else reference_grad
        torch.testing.assert_close(grad, wanted, atol=1e-4, rtol=1e-4)


@every_kind
@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_statistics_of_a_layer_with_an_activation(kind, momentum):
    layer = convert_batchnorm(activated_layer(momentum=momentum), kind)
    natural, noise = (nn.BatchNorm2d(3, momentum=momentum) for _ in range(2))
    for seed, is_noise in enumerate([IS_NOISE, ALL_NOISE, ~IS_NOISE, torch.zeros(6).bool(), ALL_NOISE]):
        x = images(size=4, seed=seed) + seed
        with noise_routing(is_noise):
            layer(x.clone())
        for norm, rows in ((natural, x[~is_noise]), (noise, x[is_noise])):
            if len(rows):
                norm(rows)
        torch.testing.assert_close(layer.running_mean, natural.running_mean)
        torch.testing.assert_close(layer.running_var, natural.running_var)
        assert layer.num_batches_tracked == natural.num_batches_tracked
        if kind == "aux":
            torch.testing.assert_close(layer.aux_running_mean, noise.running_mean)
            torch.testing.assert_close(layer.aux_running_var, noise.running_var)
            assert layer.aux_num_batches_tracked == noise.num_batches_tracked
    assert layer.num_batches_tracked == 3


@every_kind
def test_a_layer_with_an_activation_and_without_statistics(kind):
    layer = convert_batchnorm(activated_layer(track_running_stats=False), kind, "full")
    with noise_routing(IS_NOISE):
        output = layer(images(size=4))
    reference = dar_batch_norm(images(size=4), IS_NOISE, layer.weight, layer.bias, "full").relu()
    torch.testing.assert_close(output.double(), reference, atol=1e-5, rtol=1e-5)


class Activated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), activated_layer(act_layer=nn.SiLU, drop_layer=Halve)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


@pytest.mark.parametrize(("kind", "noise_grad"), [("dar", "none"), ("dar", "input"), ("dar", "full"), ("aux", "full")])
def test_a_layer_with_an_activation_compiles_to_one_graph(kind, noise_grad):
    torch._dynamo.reset()
    eager = convert_batchnorm(Activated(), kind, noise_grad)
    compiled_model = copy.deepcopy(eager)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(compiled_model, backend=counter, fullgraph=True)
    for seed, rows in enumerate([[0], [1, 3], [0, 1, 2, 3, 4, 5], [5]]):
        is_noise = torch.zeros(6, dtype=torch.bool)
        is_noise[rows] = True
        outputs = []
        for model in (eager, compiled):
            with noise_routing(is_noise):
                outputs.append(model(images(size=8, seed=seed)))
            outputs[-1].square().mean().backward()
        torch.testing.assert_close(*outputs)
    assert counter.frame_count == 1
    for one, other in zip(eager.parameters(), compiled_model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert_same_state(compiled_model, eager, exactly=False)


@pytest.mark.parametrize("plain", [*OWN, BatchNormAct2d], ids=lambda cls: cls.__name__)
def test_a_network_is_converted_anew(plain):
    layer = plain(3)
    ids, keys = identities(layer), list(layer.state_dict())
    classes = []
    for kind, noise_grad in [("dar", "input"), ("dar", "full"), ("aux", "none"), ("aux", "input"), ("dar", "none")]:
        assert convert_batchnorm(layer, kind, noise_grad) is layer
        assert layer.noise_grad == noise_grad
        assert type(layer).__name__ == f"{PREFIX[kind]}{plain.__name__}"
        assert issubclass(type(layer), plain)
        assert {tensor: identities(layer)[tensor] for tensor in ids} == ids
        assert len(layer.state_dict()) == (10 if kind == "aux" else 5)
        classes.append(type(layer))
    assert classes[0] is classes[1] is classes[4]
    assert classes[2] is classes[3]
    assert (classes[0], classes[2]) == OWN.get(plain, (classes[0], classes[2]))
    assert convert_batchnorm(layer, "standard") is layer
    assert type(layer) is plain
    assert identities(layer) == ids
    assert list(layer.state_dict()) == keys
    assert not hasattr(layer, "noise_grad")


@pytest.mark.parametrize("plain", [*OWN, BatchNormAct2d], ids=lambda cls: cls.__name__)
@every_kind
def test_a_lone_layer_is_a_network_too(plain, kind):
    layer, twin = plain(3), plain(3)
    dims = {nn.BatchNorm1d: 0, nn.BatchNorm3d: 3}.get(plain, 2)
    x = torch.randn(6, 3, *[2] * dims)
    convert_batchnorm(layer, kind)
    with noise_routing(IS_NOISE):
        output = layer(x)
    reference = dar_batch_norm(x, IS_NOISE, layer.weight, layer.bias, "none")
    expected = twin.act(reference) if hasattr(twin, "act") else reference
    torch.testing.assert_close(output.double(), expected, atol=1e-5, rtol=1e-5)
    assert type(revert_batchnorm(layer)) is plain


def test_a_network_without_routed_layers_reverts_to_itself():
    for model in (network("timm resnet18"), nn.Linear(2, 2), nn.BatchNorm2d(3)):
        before = [type(layer) for layer in model.modules()], identities(model)
        assert revert_batchnorm(model) is model
        assert ([type(layer) for layer in model.modules()], identities(model)) == before


class Shared(nn.Module):
    def __init__(self, make: type) -> None:
        super().__init__()
        norm = make(3)
        self.first, self.second = nn.Sequential(norm), norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x) + x**2)


@pytest.mark.parametrize(
    "make", [nn.BatchNorm2d, functools.partial(BatchNormAct2d, apply_act=False)], ids=["torch", "timm"]
)
@every_kind
@every_reading
def test_a_shared_layer_stays_shared(make, kind, noise_grad):
    model = Shared(make)
    keys = list(model.state_dict())
    convert_batchnorm(model, kind, noise_grad)
    layer = model.second
    assert model.first[0] is layer
    assert without_aux(model.state_dict()) == keys
    x = images(size=4)
    with noise_routing(IS_NOISE):
        output = model(x)
    first = dar_batch_norm(x, IS_NOISE, layer.weight, layer.bias, noise_grad)
    reference = dar_batch_norm(first + x.double() ** 2, IS_NOISE, layer.weight, layer.bias, noise_grad)
    torch.testing.assert_close(output.double(), reference, atol=1e-5, rtol=1e-5)
    output.square().sum().backward()
    assert layer.num_batches_tracked == 2
    assert revert_batchnorm(model).first[0] is model.second is layer
    assert not isinstance(layer, RoutedBatchNorm)


class Rectified(nn.BatchNorm2d):
    """Calls its parent."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).relu() + 1


class Written(nn.BatchNorm2d):
    """Writes the call out."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.num_batches_tracked += 1
        normed = F.batch_norm(
            input=x,
            running_mean=self.running_mean,
            running_var=self.running_var,
            weight=self.weight,
            bias=self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        return normed.relu() + 1


class Renamed(nn.BatchNorm2d):
    """Has no forward of its own."""

    extra = 3


@pytest.mark.parametrize(
    ("cls", "act"),
    [(Rectified, lambda x: x.relu() + 1), (Written, lambda x: x.relu() + 1), (Renamed, lambda x: x)],
    ids=lambda value: getattr(value, "__name__", ""),
)
@every_kind
@every_reading
def test_a_subclass_of_the_users_keeps_its_behaviour(cls, act, kind, noise_grad):
    layer, twin, statistics = cls(3), cls(3), nn.BatchNorm2d(3)
    convert_batchnorm(layer, kind, noise_grad)
    assert isinstance(layer, cls)
    assert torch.equal(layer(images(size=4)), twin(images(size=4)))
    assert torch.equal(predict(layer, images(size=4)), predict(twin, images(size=4)))
    statistics(images(size=4))
    for is_noise in (IS_NOISE, ALL_NOISE):
        x = images(size=4, seed=1).requires_grad_()
        with noise_routing(is_noise):
            output = layer(x)
        reference = act(dar_batch_norm(x, is_noise, layer.weight, layer.bias, noise_grad))
        torch.testing.assert_close(output.double(), reference, atol=1e-5, rtol=1e-5)
    statistics(images(size=4, seed=1)[~IS_NOISE])
    torch.testing.assert_close(layer.running_mean, statistics.running_mean)
    torch.testing.assert_close(layer.running_var, statistics.running_var)
    assert layer.num_batches_tracked == 2
    assert type(revert_batchnorm(layer)) is cls


class ZeroCentered(nn.BatchNorm2d):
    """Scales by 1 + weight, shifts by -bias."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, 1 + self.weight, -self.bias, self.training, self.momentum, self.eps
        )


def test_a_subclass_may_compute_its_scale_and_shift():
    layer = convert_batchnorm(ZeroCentered(3).requires_grad_(False))
    nn.init.constant_(layer.weight, 0.25)
    nn.init.constant_(layer.bias, 0.5)
    with noise_routing(IS_NOISE):
        output = layer(images(size=4))
    reference = dar_batch_norm(images(size=4), IS_NOISE, 1 + layer.weight, -layer.bias, "none")
    torch.testing.assert_close(output.double(), reference, atol=1e-5, rtol=1e-5)


class Gained(nn.BatchNorm2d):
    """Takes more than its input."""

    def forward(self, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
        return super().forward(x) * gain


@every_kind
@pytest.mark.parametrize("is_noise", [None, IS_NOISE], ids=["plain", "routed"])
def test_a_subclass_may_take_more_than_its_input(kind, is_noise):
    layer = convert_batchnorm(Gained(3), kind, "full")
    with noise_routing(is_noise):
        by_position, by_name, default = layer(images(), 3.0), layer(images(), gain=3.0), layer(images())
    assert torch.equal(by_position, default * 3)
    assert torch.equal(by_name, by_position)


class Chunked(nn.BatchNorm2d):
    """Normalizes halves of the batch, which a mask of the whole batch does not fit."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([super(Chunked, self).forward(chunk) for chunk in x.chunk(2)])


def test_a_subclass_that_regroups_rows_is_refused():
    layer = convert_batchnorm(Chunked(3))
    with pytest.raises(InputError, match=r"shape \(6,\).*shape \(3, 3, 4, 4\)"), noise_routing(IS_NOISE):
        layer(images(size=4))


def pickled(layer: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(layer))


def saved(layer: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, pickled, saved], ids=lambda copy: copy.__name__)
@every_kind
def test_duplicates_of_a_layer_with_an_activation(duplicate, kind):
    layer = convert_batchnorm(activated_layer(act_layer=nn.SiLU, drop_layer=Halve), kind, "input")
    with noise_routing(IS_NOISE):
        layer(images(size=4))
        twin = duplicate(layer)
        assert type(twin) is type(layer)
        assert twin.noise_grad == "input"
        assert_same_state(twin, layer)
        assert torch.equal(twin(images(size=4, seed=1)), layer(images(size=4, seed=1)))
    assert type(revert_batchnorm(twin)) is BatchNormAct2d
    assert (duplicate is copy.copy) or isinstance(layer, RoutedBatchNorm)


@every_kind
def test_a_copied_network_trains_alone(kind):
    model = convert_batchnorm(network("timm mobilenetv3_small_100"), kind)
    untouched = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    twin = copy.deepcopy(model)
    with noise_routing(IS_NOISE):
        expected = twin(images())
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in model.state_dict().items())
    with noise_routing(IS_NOISE):
        assert torch.equal(model(images()), expected)
    assert_same_state(model, twin)


@every_kind
def test_a_pickled_layer_is_read_where_no_layer_was_converted_before(kind):
    layer = convert_batchnorm(activated_layer(act_layer=nn.SiLU, drop_layer=Halve), kind, "input")
    data = pickle.dumps(layer)
    oponm.nn.convert.routed_class.cache_clear()
    twin = pickle.loads(data)
    assert type(twin) is type(convert_batchnorm(activated_layer(), kind))
    assert_same_state(twin, layer)
    with noise_routing(IS_NOISE):
        assert torch.equal(twin(images(size=4)), layer(images(size=4)))


@pytest.mark.parametrize("how", ["by timm", "reentrant", "not reentrant"])
@pytest.mark.parametrize(("kind", "noise_grad"), [("dar", "none"), ("dar", "input"), ("dar", "full"), ("aux", "full")])
def test_activation_checkpointing_changes_nothing(how, kind, noise_grad):
    plain, checkpointed = (convert_batchnorm(network("timm mobilenetv3_small_100"), kind, noise_grad) for _ in range(2))
    checkpointed.set_grad_checkpointing(how == "by timm")
    for seed, is_noise in enumerate([IS_NOISE, ALL_NOISE]):
        for model in (plain, checkpointed):
            x = images(seed=seed).requires_grad_()
            with noise_routing(is_noise):
                if model is plain or how == "by timm":
                    logits = model(x)
                else:
                    logits = checkpoint(model, x, use_reentrant=how == "reentrant")
            F.cross_entropy(logits, torch.arange(6) % 5).backward()
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert_same_state(checkpointed, plain)


@pytest.mark.parametrize(
    ("make", "class_name"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.GroupNorm(2, 4)), "Sequential"),
        (lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True), "InstanceNorm2d"),
        (
            lambda: timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5, depth=1),
            "VisionTransformer",
        ),
    ],
    ids=["sequential", "instance norm", "vit"],
)
@every_kind
def test_a_network_without_batch_norm_is_refused(make, class_name, kind):
    model = make()
    with pytest.raises(InputError, match=f"{kind} needs batch norm, and {class_name} has no batch-norm") as error:
        convert_batchnorm(model, kind)
    assert error.value.key == "kind"
    assert convert_batchnorm(model, "standard") is model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nn.SyncBatchNorm, "synchronized"),
        (SyncBatchNormAct, "synchronized"),
        (lambda _: nn.LazyBatchNorm2d(), "not yet initialized"),
        pytest.param(lambda _: nn.LazyBatchNorm2d(affine=False), "not yet initialized", id="lazy without parameters"),
    ],
)
@every_kind
def test_a_layer_that_cannot_be_converted_is_named(make, words, kind):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.Conv2d(3, 4, 1), make(4)))
    with pytest.raises(InputError, match=rf"layer '1\.1' is {words} \(\w+\)"):
        convert_batchnorm(model, kind)
    assert type(model[0]) is nn.BatchNorm2d


@every_kind
def test_a_lazy_layer_can_be_converted_once_it_is_initialized(kind):
    layer = nn.LazyBatchNorm2d()
    layer(images())
    assert type(convert_batchnorm(layer, kind)) is OWN[nn.BatchNorm2d][kind == "aux"]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"kind": "bn"}, "kind must be one of dar, aux, standard, got 'bn'"),
        ({"kind": "DAR"}, "kind must be one of dar, aux, standard, got 'DAR'"),
        ({"kind": None}, "kind must be one of dar, aux, standard, got None"),
        ({"noise_grad": "some"}, "noise_grad must be one of none, input, full, got 'some'"),
        ({"kind": "standard", "noise_grad": "all"}, "noise_grad must be one of none, input, full, got 'all'"),
    ],
    ids=str,
)
@pytest.mark.parametrize("before", ["standard", "aux"])
def test_an_unknown_choice_is_refused_and_changes_nothing(choice, words, before):
    model = convert_batchnorm(nn.Sequential(nn.BatchNorm2d(3)), before)
    state, cls = identities(model), type(model[0])
    with pytest.raises(InputError, match=words) as error:
        convert_batchnorm(model, **choice)
    assert error.value.key in choice
    assert identities(model) == state
    assert type(model[0]) is cls


@every_network
@every_kind
def test_pretrained_weights_load(name, kind):
    source, model = network(name), convert_batchnorm(NETWORKS[name][0](num_classes=5), kind)
    file = io.BytesIO()
    torch.save(source.state_dict(), file)
    file.seek(0)
    model.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(predict(model, images()), predict(source, images()))
    if kind == "aux":
        for layer in batch_norms(model):
            for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                main, aux = getattr(layer, part), getattr(layer, f"aux_{part}")
                assert torch.equal(main, aux)
                assert main.data_ptr() != aux.data_ptr()


@pytest.mark.parametrize("plain", [nn.BatchNorm2d, BatchNormAct2d], ids=lambda cls: cls.__name__)
@every_kind
def test_weights_older_than_num_batches_tracked_load(plain, kind):
    source = plain(3)
    source(images())
    state = {key: tensor for key, tensor in source.state_dict().items() if key != "num_batches_tracked"}
    plain(3).load_state_dict(state)
    layer = convert_batchnorm(plain(3), kind)
    layer.load_state_dict(state)
    assert layer.num_batches_tracked == 0
    assert torch.equal(predict(layer, images()), predict(source, images()))


@every_kind
def test_trained_weights_load(kind):
    name = "timm mobilenetv3_small_100"
    trained = convert_batchnorm(network(name), kind)
    with noise_routing(IS_NOISE):
        trained(images(seed=4))
    state = trained.state_dict()
    twin = convert_batchnorm(NETWORKS[name][0](num_classes=5), kind)
    twin.load_state_dict(state)
    assert_same_state(twin, trained)
    plain = NETWORKS[name][0](num_classes=5)
    plain.load_state_dict({key: state[key] for key in without_aux(state)})
    assert torch.equal(predict(plain, images()), predict(trained, images()))


def test_a_state_dict_that_does_not_fit_is_refused_as_by_the_plain_layer():
    for kind in ("dar", "aux"):
        layer = convert_batchnorm(nn.BatchNorm2d(3), kind)
        for state in (nn.BatchNorm2d(4).state_dict(), {}, {**nn.BatchNorm2d(3).state_dict(), "gain": torch.ones(1)}):
            with pytest.raises(RuntimeError, match="loading state_dict"):
                layer.load_state_dict(state)


def reached(model: nn.Module, rows: torch.Tensor) -> set[str]:
    """Names of the parameters with a gradient when some rows of a mixed batch alone enter the loss."""
    with noise_routing(IS_NOISE):
        logits = model(images())
    F.cross_entropy(logits[rows], torch.arange(6)[rows]).backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()}


@every_kind
@pytest.mark.parametrize(("noise_grad", "number"), [("none", 2), ("input", 11), ("full", 25)])
def test_how_far_a_loss_of_noise_rows_reaches(kind, noise_grad, number):
    model = WideResNet(10, 1)
    every = {name for name, _ in model.named_parameters()}
    norms = {name for name in every if "bn" in name}
    assert len(every) == 25
    names = reached(convert_batchnorm(model, kind, noise_grad), IS_NOISE)
    assert len(names) == number
    if noise_grad == "none":
        assert names == {"fc.weight", "fc.bias"}
    else:
        assert {name.split(".")[-2].rstrip("12") for name in every - norms} == {"conv", "shortcut", "fc"}
        assert {name for name in names if "bn" not in name} == every - norms
        own = norms
        if kind == "aux":
            own = {f"{layer}.aux_{part}" for layer, _, part in (name.rpartition(".") for name in norms)}
        assert {name for name in names if "bn" in name} == (own if noise_grad == "full" else set())


@every_kind
@every_reading
def test_a_loss_of_natural_rows_reaches_the_plain_networks_parameters(kind, noise_grad):
    model = WideResNet(10, 1)
    every = {name for name, _ in model.named_parameters()}
    assert reached(convert_batchnorm(model, kind, noise_grad), ~IS_NOISE) == every


def test_a_standard_network_reaches_everything_from_noise_rows_unless_told_otherwise():
    numbers = {
        noise_grad: len(reached(convert_batchnorm(WideResNet(10, 1), "standard", noise_grad), IS_NOISE))
        for noise_grad in (None, "full", "input", "none")
    }
    # By the statistics that they share, noise rows reach natural ones, and through these gamma and beta further down.
    assert numbers == {None: 25, "full": 25, "input": 23, "none": 2}
