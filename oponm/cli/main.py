"""``oponm COMMAND ...``: runs the command; bad input gives one line and exit code 2."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from importlib.metadata import Distribution, DistributionFinder, PackageNotFoundError

from oponm import __version__
from oponm.cli.errors import one_line_errors
from oponm.configs import groups
from oponm.errors import check_path
from oponm.output import unfailing_output

COMMANDS = {
    "train": "train a model and evaluate it; without arguments OPeN on the embedded digits",
    "eval": "evaluate a checkpoint on the test set, split=val or train, or folder=DIR: oponm eval checkpoint=FILE",
    "predict": "predict classes of image files: oponm predict checkpoint=FILE PHOTOS",
    "export": "ONNX, TorchScript or torch.export, to run without oponm, or weights: oponm export checkpoint=FILE",
    "data": "data check: class counts, hashes, digest; data prepare: download, decode once; data show: a PNG sheet",
    "cache": "stored phases for other runs to start from, and their size; oponm cache clear removes them",
    "report": "tables and a figure of finished runs: oponm report DIR...",
}
_RUNS = ("train", "eval")  # their output is not their purpose


def main() -> None:
    """Run the command named by ``sys.argv``."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if arguments[0] in ("-V", "--version"):
        print(f"oponm {__version__}")
        return
    with unfailing_output() if arguments[0] in _RUNS else nullcontext(), one_line_errors():
        for variable in ("OPONM_DATA", "OPONM_CACHE"):
            check_path(variable, os.environ.get(variable, "."))
        if arguments[0] not in COMMANDS:
            from oponm.errors import InputError

            raise InputError(f"there is no command {arguments[0]!r}: it is one of {', '.join(COMMANDS)}")
        sys.meta_path.insert(0, LeanTorchmetrics())
        find_modules_here()
        command = importlib.import_module(f"oponm.cli.{arguments[0]}")
        if hasattr(command, "HELP") and {"-h", "--help"} & set(arguments):
            print(command.HELP)
        else:
            command.run(arguments[1:])


def find_modules_here() -> None:
    """Append the current folder to ``sys.path``, so that a config can name your own modules in it.

    Raises:
        InputError: if the current folder has been deleted.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError as error:
        from oponm.errors import InputError

        raise InputError("the current folder has been deleted: change to one that exists") from error
    if not {"", here} & set(sys.path):
        sys.path.append(here)


class LeanTorchmetrics:
    """Import hook that hides matplotlib, scipy and torchvision from torchmetrics while torchmetrics is imported.

    torchmetrics imports them for plots and metrics that oponm does not use, which takes a second of each command. Only
    commands of oponm hide them, as a program that imports oponm may need them in torchmetrics.
    """

    spared = ("matplotlib", "scipy", "torchvision")

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        """Raise ModuleNotFoundError for a library in :attr:`spared`; for others return None: the next finder looks."""
        if name in self.spared and self._importing():
            raise ModuleNotFoundError(f"{name} is hidden from torchmetrics, so that oponm starts faster", name=name)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """Raise PackageNotFoundError for a library in :attr:`spared`; for others return []: the next finder looks."""
        if context.name in self.spared and self._importing():
            raise PackageNotFoundError(context.name)
        return []

    def _importing(self) -> bool:
        torchmetrics = sys.modules.get("torchmetrics")
        return torchmetrics is not None and not hasattr(torchmetrics, "__all__")  # which comes last


def usage() -> str:
    """Return the help text: commands, choices of each config group, and examples."""
    lines = ["Oversampling with pure noise images (OPeN) and DAR-BN for long-tailed image classification.", ""]
    lines += ["Usage: oponm COMMAND [group=choice ...] [key=value ...]", "", "Commands:"]
    lines += [f"  {name:14}{text}" for name, text in COMMANDS.items()]
    lines += ["", "Choices (group=choice):"]
    lines += [_choices(group, choices) for group, choices in groups().items()]
    lines += [
        "",
        "Examples:",
        "  oponm train method=drs seed=1",
        "  oponm train -m method=erm,drs,open seed=0,1,2        a sweep: every combination",
        "  oponm train data=image_folder data.root=PHOTOS model=resnet32 augmentation=flip_crop",
        "  oponm train -m sweep=resnet32 seed=0,1,2              a published table; then oponm report outputs/resnet32",
        "  oponm train --cfg job                                 print the configuration, run nothing",
    ]
    return "\n".join(lines)


def _choices(group: str, choices: list[str]) -> str:
    """A group's choices, wrapped; choices in folders are listed by folder."""
    names = dict.fromkeys(f"{choice.partition('/')[0]}/..." if "/" in choice else choice for choice in choices)
    return textwrap.fill(
        ", ".join(names),
        width=110,
        initial_indent=f"  {group:15}",
        subsequent_indent=" " * 17,
        break_on_hyphens=False,
        break_long_words=False,
    )
