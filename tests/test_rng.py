from __future__ import annotations

import hashlib
import itertools
import random

import numpy as np
import pytest
import torch

from oponm.rng import derive_generator, derive_seed, derived_randomness

IDENTITY = {"seed": 3, "purpose": "noise", "epoch": 5, "step": 7, "rank": 1}
CHANGES = [{"seed": 4}, {"purpose": "sampler"}, {"epoch": 6}, {"step": 8}, {"rank": 2}]


@pytest.mark.parametrize(
    ("identity", "expected"),
    [((0, "sampler"), 8938602532179043127), ((42, "noise", 160, 7, 3), 6758100977185097054)],
    ids=str,
)
def test_seeds_never_change(identity, expected):
    assert derive_seed(*identity) == expected


@pytest.mark.parametrize("identity", [(0, "sampler", 0, 0, 0), (42, "noise", 160, 7, 3), (-1, "dropout é", 1, 2, 3)])
def test_a_seed_is_a_hash_of_its_identity(identity):
    digest = hashlib.blake2b("\x1f".join(map(str, identity)).encode(), digest_size=8).digest()
    assert derive_seed(*identity) == int.from_bytes(digest, "little") // 2


def test_different_identities_have_different_seeds():
    numbers = [0, 1, 2, 10, 11, 100, 111]
    purposes = ["", "noise", "noise1", "sampler"]
    identities = list(itertools.product(numbers, purposes, numbers, numbers, numbers))
    seeds = {derive_seed(*identity) for identity in identities}
    assert len(seeds) == len(identities)
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_parts_do_not_run_into_each_other():
    digits = {derive_seed(1, "a", 12, 3), derive_seed(1, "a", 1, 23), derive_seed(11, "a", 2, 3)}
    names = {derive_seed(0, "a1", 2), derive_seed(0, "a", 12), derive_seed(0, "a\x1f1", 2), derive_seed(0, "a", 1, 2)}
    assert len(digits) == 3
    assert len(names) == 4


def test_every_bit_of_a_seed_is_used():
    seeds = [derive_seed(0, "noise", epoch) for epoch in range(2000)]
    for bit in range(63):
        share = sum(seed >> bit & 1 for seed in seeds) / len(seeds)
        assert abs(share - 0.5) < 5 * 0.5 / len(seeds) ** 0.5, bit


def test_numbers_of_numpy_and_torch_are_numbers():
    assert derive_seed(np.int64(3), "noise", np.int32(5), torch.tensor(7).item()) == derive_seed(3, "noise", 5, 7)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_generator_depends_on_every_part(change):
    same, again, other = (
        torch.rand(8, generator=derive_generator(**identity)) for identity in (IDENTITY, IDENTITY, IDENTITY | change)
    )
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_a_generator_is_seeded_by_its_identity():
    generator = derive_generator(**IDENTITY)
    assert generator.initial_seed() == derive_seed(**IDENTITY)
    assert generator.device.type == "cpu"


def test_generators_do_not_touch_the_global_one():
    before = torch.get_rng_state()
    torch.rand(8, generator=derive_generator(**IDENTITY))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_global_randomness_depends_on_every_part(change):
    draws = []
    for identity in (IDENTITY, IDENTITY, IDENTITY | change):
        torch.rand(3)
        with derived_randomness(**identity):
            draws.append(torch.rand(8))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_inside_the_global_generator_has_the_derived_seed():
    with derived_randomness(**IDENTITY):
        assert torch.initial_seed() == derive_seed(**IDENTITY)
        first = torch.rand(8)
    assert torch.equal(first, torch.rand(8, generator=derive_generator(**IDENTITY)))


def test_behind_the_block_the_global_generator_goes_on():
    torch.manual_seed(1)
    torch.rand(3)
    expected = torch.rand(8)
    torch.manual_seed(1)
    torch.rand(3)
    with derived_randomness(**IDENTITY):
        torch.rand(100)
    assert torch.equal(torch.rand(8), expected)


def test_an_exception_puts_the_global_generator_back():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match=r"shape '\[7\]'"), derived_randomness(**IDENTITY):
        torch.rand(8).view(7)
    assert torch.equal(torch.get_rng_state(), before)


def test_blocks_nest():
    with derived_randomness(0, "outer"):
        expected = torch.rand(2, 4)
    with derived_randomness(0, "outer"):
        first = torch.rand(4)
        with derived_randomness(0, "inner"):
            inner = torch.rand(4)
        second = torch.rand(4)
    assert torch.equal(torch.stack([first, second]), expected)
    assert not torch.equal(inner, second)


def test_the_generators_of_python_and_numpy_are_left_alone():
    python, numpy = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with derived_randomness(**IDENTITY):
        torch.rand(8)
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpy  # noqa: NPY002


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_randomness_on_cuda(device):
    before = torch.cuda.get_rng_state()
    draws = []
    for _ in range(2):
        with derived_randomness(**IDENTITY, device=device):
            draws.append(torch.rand(8, device=device))
    assert torch.equal(*draws)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    one, other = (torch.rand(8, generator=derive_generator(**IDENTITY, device=device), device=device) for _ in range(2))
    assert torch.equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_block_on_the_cpu_puts_the_cuda_generator_back():
    before = torch.cuda.get_rng_state()
    with derived_randomness(**IDENTITY):
        torch.rand(8, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), before)
