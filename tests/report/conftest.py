"""One run of the digits for all that read what a run writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory) -> Path:
    from oponm.data import DigitsLT
    from oponm.training import fit

    folder = tmp_path_factory.mktemp("digits") / "run"
    fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=3, output_dir=folder, accelerator="cpu")
    return folder


@pytest.fixture(scope="session")
def digits_run(digits_folder) -> dict[str, Any]:
    from oponm.report import collect_runs

    return collect_runs([digits_folder])[0][0]
