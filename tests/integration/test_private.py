"""What other libraries keep to themselves is neither imported, read nor replaced here."""

from __future__ import annotations

import re

import pytest

from oponm.configs import CONF_DIR
from tests.cli.command import ROOT

PRIVATE = {  # by library: patterns of names that are its own
    "Hydra": [
        *(r"hydra\._internal", r"\bSingleton\b", r"hydra_plugins\.hydra_\w+", r"\.(_instantiate|_register)\b"),
        *(r"(Plugins|kind)\.instantiate_(launcher|sweeper) *=", r"(setattr|patch)\W.*Plugins", r"\b_return_value\b"),
    ],
    "submitit": [r"submitit\.\w+\._\w+", r"\bJob\.results *=", r"\._(delayed|executor|handle_signals)\b"],
    "joblib, loky": [r"joblib\.(externals|_\w+)", r"\bloky\b"],
    "Lightning": [
        *(
            r"\b(trainer|strategy|\w*loop|pl_module|callback|metric)\._(?!target_)[a-z]\w*",
            r"\._(signal|logger|data|checkpoint)_connector",
        ),
        *(
            r"\bself\._(trainer|average_model|latest_update_\w+)\b",
            r"_layer_sync",
            r"_update_count",
            r"\._computed\b",
        ),
        r"\bimports\._\w+",
    ],
    "wandb": [r"wandb\.(sdk|proto)\.", r"\b(wandb|run|experiment)\._[a-z]\w*"],
    "torchvision": [r"\b(Places365|CIFAR100?|torchvision(\.\w+)*)\._[A-Za-z]\w*"],
    "Optuna": [r"optuna\._\w+", r"\b(trial|study)\._\w+"],
}
FILES = [
    *(file for folder in ("oponm", "hydra_plugins") for file in sorted((ROOT / folder).rglob("*.py"))),
    *sorted(CONF_DIR.rglob("*.yaml")),
]


@pytest.mark.parametrize("library", PRIVATE)
def test_no_private_name_is_used(library):
    pattern = re.compile("|".join(PRIVATE[library]))
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in FILES
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("library", "line"),
    [
        ("Hydra", "from hydra._internal.core_plugins.basic_sweeper import BasicSweeper"),
        ("Hydra", "from hydra_plugins.hydra_joblib_launcher._core import execute_job"),
        ("Hydra", "kind.instantiate_launcher = instantiate_launcher"),
        ("submitit", "Job.results = results"),
        ("joblib, loky", "from joblib.externals.loky import ProcessPoolExecutor"),
        ("Lightning", "trainer._signal_connector.register_signal_handlers = lambda: None"),
        ("Lightning", "metric._update_count, metric._computed = accumulated, None"),
        ("Lightning", "steps.ready = loop.epoch_loop._batches_that_stepped"),
        ("Lightning", 'getattr(self.trainer.strategy, "_layer_sync", None)'),
        ("wandb", "from wandb.sdk.internal.datastore import DataStore"),
        ("torchvision", "BASE_URL: str = Places365._BASE_URL"),
        ("Optuna", "trial._suggest(name, distribution)"),
    ],
)
def test_a_private_name_is_found(library, line):
    assert re.search("|".join(PRIVATE[library]), line)
