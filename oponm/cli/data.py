"""``oponm data check|prepare|show``: checks a data set, prepares it, or shows its augmented images."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import NoReturn

from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from oponm.cli.config import composed
from oponm.cli.errors import SIGNALED
from oponm.data import LongTailDataModule
from oponm.data.check import DataCheck, check_data, describe_data
from oponm.data.noise import no_noise
from oponm.data.sources.download import Fetching
from oponm.errors import InputError
from oponm.known_settings import check_settings
from oponm.training.build import build_data, full_keys, make_data

SHEET = "data.png"
HELP = """oponm data check|prepare|show [data=...] [key=value ...]

  check     present and missing files, hashes, class counts, split digest, which method to take; writes nothing
  prepare   download what is possible; decode all images once and store them in the folder data.pack=...
  show      like check, and writes data.png to output_dir: class counts, augmented images, noise beside them"""


def run(arguments: list[str]) -> None:
    """Run the action that the first argument names on the data set that the overrides describe."""
    actions = {"check": _check, "prepare": _prepare, "show": _show}
    if not arguments or arguments[0] not in actions:
        raise InputError(f"data needs one of {', '.join(actions)}: oponm data check data=digits_lt")
    config = composed("train", arguments[1:])
    check_settings(config)
    actions[arguments[0]](config)


def _check(config: DictConfig) -> None:
    measured = _without_measuring(config)
    unmeasured = {} if config.data.in_memory else {"noise": no_noise}
    with full_keys(config):
        found = check_data(make_data(config, **unmeasured), measured, config.trainer.max_epochs)
        if found.problems:
            _refuse(found)
    _print_table(found.class_names, found.counts)
    _print(*found.facts)


def _without_measuring(config: DictConfig) -> bool:
    """Whether colors are measured; not for images outside memory, as all of them would be decoded."""
    if config.data.in_memory or config.data.statistics != "own" or config.data.get("channels") == 1:
        return True  # published colors, which stand in below, have three channels
    config.data.statistics = "imagenet"
    return False


def _refuse(found: DataCheck) -> NoReturn:
    """Print all findings, and end with the first problem."""
    _print(*found.findings)
    if found.counts:
        _print_table(found.class_names, found.counts)
    first, others = found.problems[0], len(found.problems) - 1
    more = f" (and {others} more, above)" if others else ""
    raise InputError(f"{first.message}{more}", first.key)


def _prepare(config: DictConfig) -> None:
    try:
        with full_keys(config):
            _fetch_and_pack(make_data(config), config.data)
    except KeyboardInterrupt:
        print("oponm: interrupted; run again, and it continues from there", file=sys.stderr)
        sys.exit(SIGNALED + signal.SIGINT)


def _fetch_and_pack(data: LongTailDataModule, settings: DictConfig) -> None:
    if isinstance(data, Fetching):
        data.fetch(_print)
    elif "pack" in settings and settings.pack is None:
        raise InputError("must name a folder for the decoded images, on a fast disk: data.pack=FOLDER", "pack")
    data.prepare_data()
    source = data.load_source()
    if source.packing is None:
        numbers = f"{len(source.train.labels)} training and {len(source.test.labels) if source.test else 0} test images"
        more = "data.pack=FOLDER keeps them decoded" if "pack" in settings else "nothing else is to be prepared"
        _print(f"{numbers} are there; {more}")
        return
    pack = source.packing.make()
    left_out = [*source.skipped, *(error.message for error in source.packing.unreadable(pack))]
    _print(*(f"left out: {line}" for line in left_out), f"pack: {pack.description()}")


def _show(config: DictConfig) -> None:
    from oponm.logging.sheet import data_sheet
    from oponm.run_files import new_files

    file = Path(str(config.output_dir)).expanduser() / SHEET
    if file.exists():
        raise InputError(f"holds {SHEET} already: choose another folder", "output_dir")
    data = build_data(config)
    _print_table(data.class_names, {"train": data.class_counts, "val": data.val_counts, "test": data.test_counts})
    _print(*describe_data(data))
    with new_files([file]) as (sheet,):
        data_sheet(data, sheet)
    _print(f"files: {file}")


def _print(*lines: str) -> None:
    for line in lines:
        Console(markup=False).print(line, highlight=False, soft_wrap=True)


def _print_table(class_names: list[str], columns: dict[str, list[int]]) -> None:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("class")
    shown = {name: counts for name, counts in columns.items() if counts}
    for name in shown:
        table.add_column(name, justify="right")
    for label, name in enumerate(class_names):
        table.add_row(name, *(str(counts[label]) for counts in shown.values()))
    table.add_section()
    table.add_row("all", *(str(sum(counts)) for counts in shown.values()))
    Console(markup=False).print(table)
