"""``oponm train`` up to its first step, with a clock; for :mod:`benchmarks.startup`, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

STAGES = (
    "Python",
    "import torch",
    "import Lightning",
    "import Hydra and oponm",
    "composing the configuration",
    "data",
    "model, and trials of all settings",
    "Lightning's set-up",
)


class FirstStep(BaseException):
    """Training is about to begin; no error, so that nobody takes it for one."""


def stages(began: float, arguments: list[str]) -> dict[str, float]:
    """Be ``oponm train`` up to the first step.

    Args:
        began: when the process was asked for, in seconds since the epoch.
        arguments: of the command.

    Returns:
        Seconds of each of :data:`STAGES`.
    """
    marks = {"Python": time.time() - began}
    last = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal last
        now = time.perf_counter()
        marks[stage], last = now - last, now

    from oponm.cli.main import LeanTorchmetrics

    sys.meta_path.insert(0, LeanTorchmetrics())
    import torch  # noqa: F401

    done("import torch")
    import pytorch_lightning  # noqa: F401

    done("import Lightning")
    import importlib

    from oponm.cli import train
    from oponm.training import LongTailModule, build

    run = importlib.import_module("oponm.training.run")  # the module, not its function

    done("import Hydra and oponm")
    original_build, original_data = run.build, build.build_data

    def timed_data(config: Any, given: Any = None) -> Any:
        done("composing the configuration")
        data = original_data(config, given)
        done("data")
        return data

    def timed_build(config: Any, given: Any = None) -> Any:
        built = original_build(config, given)
        done("model, and trials of all settings")
        return built

    def first_step(self: Any, batch: Any, batch_idx: int) -> None:
        done("Lightning's set-up")
        raise FirstStep

    run.build, build.build_data = timed_build, timed_data
    LongTailModule.training_step = first_step  # type: ignore[assignment, method-assign]
    try:
        train.run(arguments)
    except FirstStep:
        return marks
    raise RuntimeError("no training step came")


if __name__ == "__main__":
    print(json.dumps(stages(float(sys.argv[1]), sys.argv[2:])))
