from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from oponm.errors import InputError
from oponm.noise import GaussianNoise

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]


def generator(seed: int = 0, device: str = "cpu") -> torch.Generator:
    return torch.Generator(device=device).manual_seed(seed)


def draw(noise: GaussianNoise, rows: int = 256, size: int = 16, seed: int = 0) -> torch.Tensor:
    return noise(torch.zeros(rows, dtype=torch.long), (len(noise.mean), size, size), generator(seed)).double()


@pytest.mark.parametrize(("mean", "std"), [(MEAN, STD), ([0.3], [0.05]), ([0.1, 0.9], [2.0, 0.0])], ids=str)
def test_mean_and_deviation_of_each_channel(mean, std):
    images = draw(GaussianNoise(mean, std, clip=False))
    values = images.numel() / len(mean)
    for channel, (mu, sigma) in enumerate(zip(mean, std, strict=True)):
        assert abs(images[:, channel].mean().item() - mu) <= 5 * sigma / math.sqrt(values) + 1e-7
        assert abs(images[:, channel].std().item() - sigma) <= 5 * sigma / math.sqrt(2 * values) + 1e-7


def test_pixels_are_independent():
    unit = draw(GaussianNoise([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], clip=False))
    neighbors = {
        "channels": (unit[:, 0], unit[:, 1]),
        "columns": (unit[..., :-1], unit[..., 1:]),
        "rows": (unit[..., :-1, :], unit[..., 1:, :]),
        "images": (unit[:-1], unit[1:]),
    }
    for name, (one, other) in neighbors.items():
        assert abs((one * other).mean().item()) < 5 / math.sqrt(one.numel()), name


def test_the_shape_of_the_distribution():
    unit = draw(GaussianNoise([0.0], [1.0], clip=False))
    for threshold in (-2.0, -1.0, 0.0, 0.5, 1.5):
        share = 0.5 * (1 + math.erf(threshold / math.sqrt(2)))
        assert abs((unit < threshold).double().mean().item() - share) < 5 * math.sqrt(0.25 / unit.numel())


@pytest.mark.parametrize("clip", [True, False])
def test_clipping(clip):
    images = draw(GaussianNoise([0.5], [0.5], clip=clip))
    outside = 1 - math.erf(1 / math.sqrt(2))
    tolerance = 5 * math.sqrt(0.25 / images.numel())
    if clip:
        assert images.min() == 0
        assert images.max() == 1
        assert abs(((images == 0) | (images == 1)).double().mean().item() - outside) < tolerance
    else:
        assert abs(((images < 0) | (images > 1)).double().mean().item() - outside) < tolerance


def test_clipping_is_all_that_clip_does():
    clipped, free = (draw(GaussianNoise(MEAN, STD, clip=clip)) for clip in (True, False))
    assert torch.equal(clipped, free.clamp(0, 1))
    assert not torch.equal(clipped, free)


def test_the_seed_decides():
    noise = GaussianNoise(MEAN, STD)
    assert torch.equal(draw(noise, seed=1), draw(noise, seed=1))
    assert not torch.equal(draw(noise, seed=1), draw(noise, seed=2))


def test_a_generator_moves_on():
    noise, source = GaussianNoise(MEAN, STD), generator()
    first, second = (noise(torch.zeros(2), (3, 4, 4), source) for _ in range(2))
    assert not torch.equal(first, second)


def test_no_hidden_generator_is_touched():
    before = torch.get_rng_state()
    draw(GaussianNoise(MEAN, STD))
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_do_not_matter():
    noise = GaussianNoise(MEAN, STD)
    one, other = (noise(labels, (3, 4, 5), generator()) for labels in (torch.zeros(6), torch.arange(6)))
    assert one.shape == (6, 3, 4, 5)
    assert one.dtype == torch.float32
    assert torch.equal(one, other)


def test_no_target_no_image():
    assert GaussianNoise(MEAN, STD)(torch.zeros(0), (3, 4, 4), generator()).shape == (0, 3, 4, 4)


def test_it_adds_nothing_to_a_state_dict():
    assert GaussianNoise(MEAN, STD).state_dict() == {}


@pytest.mark.parametrize("convert", [tuple, np.array, torch.tensor], ids=lambda convert: convert.__name__)
def test_the_container_does_not_matter(convert):
    assert torch.equal(draw(GaussianNoise(convert(MEAN), convert(STD))), draw(GaussianNoise(MEAN, STD)))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0.5, 0.5, 0.5], [0.2]),
        ([0.5], [0.2, 0.2]),
        ([0.5, 0.5], [0.2, -0.1]),
        pytest.param([0.5], [float("nan")], id="nan"),
        pytest.param([0.5], [float("inf")], id="inf"),
    ],
    ids=str,
)
def test_bad_statistics_are_refused(mean, std):
    with pytest.raises(InputError, match="std must have one value per channel, like mean"):
        GaussianNoise(mean, std)


@pytest.mark.parametrize("channels", [2, 4, pytest.param(1, id="would broadcast")])
def test_images_of_other_channels_are_refused(channels):
    with pytest.raises((InputError, RuntimeError)):
        GaussianNoise(MEAN, STD)(torch.zeros(2), (channels, 4, 4), generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cpu_generator_gives_the_same_images_on_cuda():
    noise, labels = GaussianNoise(MEAN, STD), torch.zeros(8, device="cuda")
    on_cuda = noise.to("cuda")(labels, (3, 8, 8), generator())
    assert on_cuda.device.type == "cuda"
    torch.testing.assert_close(on_cuda.cpu(), noise.to("cpu")(labels.cpu(), (3, 8, 8), generator()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_seed_of_a_cuda_generator_decides():
    noise, labels = GaussianNoise(MEAN, STD).to("cuda"), torch.zeros(8, device="cuda")
    images = [noise(labels, (3, 8, 8), generator(seed, "cuda")) for seed in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("mean", [[125.3], [-0.1], [0.5, 1.01]])
def test_a_mean_that_clipping_would_leave_plain_is_refused(mean):
    std = [0.2] * len(mean)
    with pytest.raises(InputError, match=r"mean must lie in \[0, 1\].* divided by 255"):
        GaussianNoise(mean, std)
    noise = GaussianNoise(mean, std, clip=False)  # such as for images that are normalized already
    images = noise(torch.zeros(50, dtype=torch.int64), (len(mean), 8, 8), torch.Generator().manual_seed(0))
    assert images.mean((0, 2, 3)).tolist() == pytest.approx(mean, abs=0.05)


def test_the_ends_of_the_range_are_means():
    assert GaussianNoise([0.0, 1.0], [0.2, 0.2]).clip
