from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
import torch

from oponm.longtail import split_digest

INDICES = [70_000, 3, 0, 2**40, 255, 256]


def reference_digest(indices: list[int]) -> str:
    return hashlib.sha256(struct.pack(f"<{len(indices)}q", *sorted(indices))).hexdigest()


@pytest.mark.parametrize("indices", [[], [0], [1], INDICES, list(range(12_406))], ids=len)
def test_it_is_the_sha256_of_sorted_little_endian_int64(indices):
    assert split_digest(indices) == reference_digest(indices)


def test_the_digest_of_no_image_is_that_of_no_byte():
    assert split_digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("seed", range(3))
def test_order_does_not_matter(seed):
    assert split_digest(np.random.default_rng(seed).permutation(INDICES)) == reference_digest(INDICES)


@pytest.mark.parametrize("dtype", ["u1", "i2", "<i4", ">i4", "<i8", ">i8", "<u8", "O"])
def test_the_type_of_the_numbers_does_not_matter(dtype):
    assert split_digest(np.array([200, 3, 7], dtype=dtype)) == reference_digest([200, 3, 7])


@pytest.mark.parametrize("container", [tuple, np.array, torch.tensor], ids=lambda container: container.__name__)
def test_the_container_does_not_matter(container):
    assert split_digest(container(INDICES)) == reference_digest(INDICES)


def test_the_indices_are_left_as_they_are():
    indices = np.array(INDICES, dtype="<i8")
    split_digest(indices)
    assert indices.tolist() == INDICES


@pytest.mark.parametrize("other", [INDICES[:-1], [*INDICES, 9], [*INDICES[:-1], 257], [*INDICES, 256]], ids=str)
def test_another_set_has_another_digest(other):
    assert split_digest(other) != split_digest(INDICES)
