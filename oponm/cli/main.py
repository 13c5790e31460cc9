"""``oponm COMMAND ...``: finds the command, and turns bad input into one line and exit code 2."""

from __future__ import annotations

import importlib
import sys

from oponm import __version__
from oponm.cli.configuration import groups
from oponm.cli.errors import one_line_errors

COMMANDS = {
    "train": "train a model and evaluate it; without arguments OPeN on the embedded digits",
    "eval": "evaluate a checkpoint: oponm eval checkpoint=RUN/checkpoints/last.ckpt",
    "data": "oponm data check: class counts, hashes, split digest; oponm data show: a sheet of images as PNG",
    "report": "tables and a figure of finished runs: oponm report DIR...",
}


def main() -> None:
    """Run the command named by ``sys.argv``."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if arguments[0] in ("-V", "--version"):
        print(f"oponm {__version__}")
        return
    with one_line_errors():
        if arguments[0] not in COMMANDS:
            from oponm.errors import InputError

            raise InputError(f"there is no command {arguments[0]!r}: it is one of {', '.join(COMMANDS)}")
        importlib.import_module(f"oponm.cli.{arguments[0]}").run(arguments[1:])


def usage() -> str:
    """The help text: commands, choices of each config group, and examples."""
    lines = ["Oversampling with pure noise images (OPeN) and DAR-BN for long-tailed image classification.", ""]
    lines += ["Usage: oponm COMMAND [group=choice ...] [key=value ...]", "", "Commands:"]
    lines += [f"  {name:14}{text}" for name, text in COMMANDS.items()]
    lines += ["", "Choices (group=choice):"]
    lines += [f"  {group:14}{', '.join(choices)}" for group, choices in groups().items()]
    lines += [
        "",
        "Examples:",
        "  oponm train method=drs seed=1",
        "  oponm train -m method=erm,drs,open seed=0,1,2        a sweep: every combination",
        "  oponm train data=image_folder data.root=PHOTOS model=resnet32 augmentation=flip_crop",
        "  oponm train --cfg job                                 print the configuration, run nothing",
    ]
    return "\n".join(lines)
