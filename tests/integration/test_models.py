from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.errors import InputError
from oponm.models import ResNetCifar, SmallCNN, WideResNet, resnet20, resnet32, resnet44, resnet56

MODELS = {
    "wrn": lambda **options: WideResNet(10, 1, **options),
    "wrn with dropout": lambda **options: WideResNet(16, 2, dropout=0.3, **options),
    "resnet": lambda **options: ResNetCifar(14, **options),
    "resnet32": resnet32,
    "small": lambda **options: SmallCNN(**options),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def number_of_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def conv(before: int, after: int, kernel: int = 3) -> int:
    return before * after * kernel**2


def wide_resnet_parameters(depth: int, width: int, num_classes: int, in_channels: int) -> int:
    total, channels = conv(in_channels, 16), 16
    for out in (16 * width, 32 * width, 64 * width):
        for block in range((depth - 4) // 6):
            total += 2 * channels + conv(channels, out) + 2 * out + conv(out, out)
            if block == 0 and not (channels == out == 16):
                total += conv(channels, out, 1)
            channels = out
    return total + 2 * channels + (channels + 1) * num_classes


def resnet_parameters(depth: int, num_classes: int, in_channels: int) -> int:
    total, channels = conv(in_channels, 16) + 2 * 16, 16
    for out in (16, 32, 64):
        for _ in range((depth - 2) // 6):
            total += conv(channels, out) + conv(out, out) + 4 * out
            channels = out
    return total + 65 * num_classes


@pytest.mark.parametrize(
    ("depth", "width", "known"),
    [
        (28, 10, 36_479_194),
        (16, 2, 691_674),
        (16, 4, 2_748_890),
        (16, 8, 10_961_370),
        (40, 2, 2_243_546),
        (40, 4, 8_949_210),
    ],
)
def test_the_published_sizes_of_wide_resnets(depth, width, known):
    with torch.device("meta"):
        assert number_of_parameters(WideResNet(depth, width)) == known


@pytest.mark.parametrize(
    ("depth", "known"), [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)]
)
def test_the_published_sizes_of_resnets(depth, known):
    with torch.device("meta"):
        assert number_of_parameters(ResNetCifar(depth)) == known


@pytest.mark.parametrize(
    ("make", "depth", "known"),
    [(resnet20, 20, 269_722), (resnet32, 32, 464_154), (resnet44, 44, 658_586), (resnet56, 56, 853_018)],
)
def test_resnets_by_name(make, depth, known):
    with torch.device("meta"):
        model = make()
    assert number_of_parameters(model) == known == resnet_parameters(depth, 10, 3)
    assert sum(isinstance(layer, nn.Conv2d) for layer in model.modules()) == depth - 1


@pytest.mark.parametrize("num_classes", [2, 10, 100])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_sizes_follow_from_the_layers(num_classes, in_channels):
    with torch.device("meta"):
        for depth, width in ((10, 1), (16, 1), (16, 3), (28, 10)):
            expected = wide_resnet_parameters(depth, width, num_classes, in_channels)
            assert number_of_parameters(WideResNet(depth, width, num_classes, in_channels)) == expected
        for depth, make in ((8, ResNetCifar), (14, ResNetCifar), (32, lambda _, *options: resnet32(*options))):
            expected = resnet_parameters(depth, num_classes, in_channels)
            assert number_of_parameters(make(depth, num_classes, in_channels)) == expected
        for width in (1, 8):
            convs = conv(in_channels, width) + conv(width, 2 * width) + conv(2 * width, 4 * width)
            expected = convs + 2 * 7 * width + (4 * width + 1) * num_classes
            assert number_of_parameters(SmallCNN(num_classes, in_channels, width)) == expected


@every_model
@pytest.mark.parametrize("in_channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(32, 32), (8, 8), (32, 20), (7, 13)], ids=str)
def test_shapes(make, in_channels, size):
    logits = make(num_classes=7, in_channels=in_channels)(torch.randn(3, in_channels, *size))
    assert logits.shape == (3, 7)
    assert torch.isfinite(logits).all()


@every_model
def test_gradients_reach_every_parameter(make):
    model = make()
    nn.functional.cross_entropy(model(torch.randn(8, 3, 16, 16)), torch.arange(8)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.count_nonzero(), name


@every_model
def test_images_do_not_meet_in_evaluation(make):
    model, images = make().eval(), torch.randn(4, 3, 12, 16)
    with torch.no_grad():
        alone = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), alone, atol=1e-5, rtol=1e-4)


@every_model
def test_no_convolution_has_a_bias(make):
    convs = [layer for layer in make().modules() if isinstance(layer, nn.Conv2d)]
    assert len(convs) >= 3
    assert all(layer.bias is None for layer in convs)


@every_model
def test_initialization_comes_from_the_global_generator(make):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(torch.cat([parameter.flatten() for parameter in make().parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize("model", [WideResNet(16, 2), ResNetCifar(32)], ids=["wrn", "resnet"])
def test_maps_shrink_by_four(model):
    sizes = []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *hook: sizes.append(tuple(hook[2].shape[2:])))
    model(torch.zeros(2, 3, 32, 16))
    assert sizes[0] == (32, 16)
    assert sizes[-1] == (8, 4)
    assert set(sizes) == {(32, 16), (16, 8), (8, 4)}


def test_the_shortcut_of_a_resnet_subsamples_and_pads_with_zeros():
    block = ResNetCifar(8).layer2[0]
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 16, 6, 10)
    zeros = torch.zeros(2, 8, 3, 5)
    assert torch.equal(block(x), torch.cat([zeros, x[:, :, ::2, ::2].relu(), zeros], dim=1))


def test_the_shortcuts_of_a_wide_resnet_are_pre_activated():
    same, changed = WideResNet(16, 1).blocks[1:3]
    for block in (same, changed):
        nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 16, 6, 6)
    assert torch.equal(same(x), x)
    activated = nn.functional.batch_norm(x, None, None, training=True).relu()
    torch.testing.assert_close(changed(x), changed.shortcut(activated))


@pytest.mark.parametrize("dropout", [0.0, 0.3, 1.0])
def test_dropout_stands_between_the_convolutions_of_every_block(dropout):
    model = WideResNet(16, 1, dropout=dropout)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Dropout)]
    assert [layer.p for layer in layers] == [dropout] * 6
    dropped, convolved = [], []
    for block in model.blocks:
        block.dropout.register_forward_hook(lambda *hook: dropped.append(hook[2]))
        block.conv2.register_forward_pre_hook(lambda *hook: convolved.append(hook[1][0]))
    model(torch.randn(2, 3, 8, 8))
    assert len(dropped) == 6
    assert all(one is other for one, other in zip(dropped, convolved, strict=True))
    x, outputs = torch.randn(2, 16, 4, 4), []
    for _ in range(2):
        torch.manual_seed(len(outputs))
        outputs.append(model.blocks[0](x))
    assert torch.equal(*outputs) == (dropout in (0.0, 1.0))
    assert torch.equal(outputs[0], x) == (dropout == 1.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WideResNet(27, 10), r"depth must be 6n \+ 4, got 27"),
        (lambda: WideResNet(32, 10), r"depth must be 6n \+ 4, got 32"),
        (lambda: WideResNet(4, 10), "depth must be a whole number of at least 10, got 4"),
        (lambda: WideResNet(28.0, 10), "depth must be a whole number"),
        (lambda: WideResNet(28, 0), "width must be a whole number of at least 1, got 0"),
        (lambda: WideResNet(28, 1.5), "width must be"),
        (lambda: WideResNet(10, 1, dropout=1.1), r"dropout must lie in \[0, 1\], got 1.1"),
        (lambda: WideResNet(10, 1, dropout=-0.1), "dropout must lie"),
        (lambda: ResNetCifar(33), r"depth must be 6n \+ 2, got 33"),
        (lambda: ResNetCifar(28), r"depth must be 6n \+ 2, got 28"),
        (lambda: ResNetCifar(2), "depth must be a whole number of at least 8, got 2"),
        (lambda: ResNetCifar("32"), "depth must be a whole number"),
        (lambda: SmallCNN(width=0), "width must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize("size", [4, 5])
def test_the_small_network_takes_images_from_four_pixels_on(size):
    assert SmallCNN()(torch.randn(2, 3, size, size)).shape == (2, 10)
