"""What holds for every distribution of noise images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from oponm.errors import InputError
from oponm.noise import ClassGaussianNoise, GaussianNoise, ReplaceWithNoise, SpectrumNoise, UniformNoise

SHAPES = [(3, 8, 8), (3, 5, 7), (3, 6, 1), (3, 1, 2), (3, 1, 1)]
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]


def every_noise(clip: bool = True) -> list[nn.Module]:
    by_class = ClassGaussianNoise([MEAN, [0.1, 0.5, 0.9]], [STD, [0.5, 0.2, 0.1]], clip)
    return [GaussianNoise(MEAN, STD, clip), UniformNoise(), by_class, SpectrumNoise(MEAN, STD, clip=clip)]


EVERY = pytest.mark.parametrize("noise", every_noise(), ids=lambda noise: type(noise).__name__)
TARGETS = torch.tensor([0, 1, 1, 0, 1, 0])


def draw(noise: nn.Module, seed: int = 0, shape: tuple[int, ...] = (3, 8, 8)) -> torch.Tensor:
    return noise(TARGETS, shape, torch.Generator().manual_seed(seed))


@EVERY
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_image_of_any_size_for_each_target_in_the_pixel_range(noise, shape):
    images = draw(noise, shape=shape)
    assert images.shape == (6, *shape)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert images.min() >= 0
    assert images.max() <= 1


@EVERY
def test_the_generator_decides(noise):
    assert torch.equal(draw(noise, 1), draw(noise, 1))
    assert not torch.equal(draw(noise, 1), draw(noise, 2))


@EVERY
def test_a_generator_moves_on(noise):
    source = torch.Generator().manual_seed(0)
    first, second = (noise(TARGETS, (3, 8, 8), source) for _ in range(2))
    assert not torch.equal(first, second)


@EVERY
def test_rows_and_channels_are_drawn_apart(noise):
    images = noise(torch.zeros(600, dtype=torch.long), (3, 8, 8), torch.Generator().manual_seed(0)).double()
    centered = images - images.mean((0, 2, 3), keepdim=True)
    scale = centered.square().mean()
    assert abs((centered[:-1] * centered[1:]).mean() / scale) < 0.03
    assert abs((centered[:, 0] * centered[:, 1]).mean() / scale) < 0.05


@EVERY
def test_no_hidden_generator_is_touched(noise):
    before = torch.get_rng_state()
    draw(noise)
    assert torch.equal(torch.get_rng_state(), before)


@EVERY
def test_no_target_no_image(noise):
    source = torch.Generator().manual_seed(0)
    assert noise(torch.zeros(0, dtype=torch.long), (3, 4, 4), source).shape == (0, 3, 4, 4)


@EVERY
def test_it_adds_nothing_to_a_state_dict(noise):
    assert noise.state_dict() == {}


@pytest.mark.parametrize(
    ("clipped", "free"),
    [pair for pair in zip(every_noise(), every_noise(clip=False), strict=True) if hasattr(pair[0], "clip")],
    ids=lambda noise: type(noise).__name__,
)
def test_clipping_is_all_that_clip_does(clipped, free):
    assert torch.equal(draw(clipped), draw(free).clamp(0, 1))
    assert not torch.equal(draw(clipped), draw(free))


@EVERY
def test_it_can_stand_in_for_images(noise):
    images = torch.full((6, 3, 8, 8), 2.0)
    batch = ReplaceWithNoise([1000, 1], 1.0, noise)(images, TARGETS, torch.Generator().manual_seed(0))
    assert batch.is_noise.tolist() == [False, True, True, False, True, False]
    assert (batch.images[batch.is_noise] <= 1).all()


@pytest.mark.parametrize(
    "noise", [noise for noise in every_noise() if hasattr(noise, "mean")], ids=lambda noise: type(noise).__name__
)
@pytest.mark.parametrize("channels", [2, 4, pytest.param(1, id="would broadcast")])
def test_images_of_other_channels_are_refused(noise, channels):
    with pytest.raises(InputError, match=f"mean has 3 channels, the images have {channels}"):
        draw(noise, shape=(channels, 4, 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EVERY
def test_a_cpu_generator_gives_the_same_images_on_cuda(noise):
    on_cuda = noise.to("cuda")(TARGETS.cuda(), (3, 8, 8), torch.Generator().manual_seed(0))
    assert on_cuda.device.type == "cuda"
    torch.testing.assert_close(on_cuda.cpu(), draw(noise.to("cpu")))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EVERY
def test_the_seed_of_a_cuda_generator_decides(noise):
    noise, seeds = noise.to("cuda"), (1, 1, 2)
    images = [noise(TARGETS.cuda(), (3, 8, 8), torch.Generator("cuda").manual_seed(seed)) for seed in seeds]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])
