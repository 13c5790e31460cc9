"""One thread a process: the tests run side by side, and what they compute is small."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # for the commands that tests start

import torch

torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a GPU as ``cuda``, so that ``-m cuda`` selects it."""
    for item in items:
        if any("needs a CUDA device" in mark.kwargs.get("reason", "") for mark in item.iter_markers("skipif")):
            item.add_marker("cuda")


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Path:
    """A root with CIFAR-10 as it was published, order and all, but for JPEG's losses."""
    from tests.data.sources.cifar_original import JPEGS, LABELS, write_cifar10

    for file in (JPEGS, LABELS):
        if not file.is_file():
            pytest.skip(f"the images and labels of CIFAR-10 are not here: {file}")
    return write_cifar10(tmp_path_factory.mktemp("cifar"))
