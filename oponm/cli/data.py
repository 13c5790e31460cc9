"""``oponm data check|show``: what a data set holds, and what a network is shown of it."""

from __future__ import annotations

import logging
from pathlib import Path

from hydra import compose, initialize_config_dir
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from oponm.cli.arguments import quote_paths
from oponm.cli.build import build_data
from oponm.cli.configuration import CONF_DIR
from oponm.data import LongTailDataModule
from oponm.errors import InputError

SHEET = Path("data.png")
ACTIONS = ("check", "show")


def run(arguments: list[str]) -> None:
    """Read the data set that the overrides describe and tell of it; ``show`` also writes ``data.png``."""
    if {"-h", "--help"} & set(arguments):
        print("oponm data check|show [data=...] [key=value ...]   show also writes data.png to this folder")
        return
    if not arguments or arguments[0] not in ACTIONS:
        raise InputError(f"data needs one of {', '.join(ACTIONS)}: oponm data check data=digits_lt")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("train", quote_paths(arguments[1:]))
    data = build_data(config)
    console = Console(markup=False)
    console.print(_table(data))
    for line in _facts(data):
        console.print(line, highlight=False, soft_wrap=True)
    if arguments[0] == "show":
        from oponm.report.sheet import data_sheet

        data_sheet(data, SHEET)
        console.print(f"files: {SHEET}", highlight=False)


def _table(data: LongTailDataModule) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("class")
    columns = {"train": data.class_counts, "val": data.val_counts, "test": data.test_counts}
    shown = {name: counts for name, counts in columns.items() if counts}
    for name in shown:
        table.add_column(name, justify="right")
    for label, name in enumerate(data.class_names):
        table.add_row(name, *(str(counts[label]) for counts in shown.values()))
    table.add_section()
    table.add_row("all", *(str(sum(counts)) for counts in shown.values()))
    return table


def _facts(data: LongTailDataModule) -> list[str]:
    ratio = max(data.class_counts) / min(data.class_counts)
    channels, height, width = data.image_shape
    return [
        f"imbalance ratio {ratio:.4g}, draw {data.draw}, images {height}x{width} of {channels} channels",
        f"split digest {data.digest}",
        f"mean {_numbers(data.statistics.mean)}, std {_numbers(data.statistics.std)} ({data.statistics_name})",
        f"validation: {data.val}" + (", which is the test set" if data.val == "test" else ""),
        *(f"left out: {line}" for line in data.skipped),
    ]


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
