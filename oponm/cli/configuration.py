"""Names that a configuration gives to folders."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from oponm.configs import groups

LONGEST = 255  # bytes in the name of a folder
_UNSAFE = r"[^A-Za-z0-9_.=+-]+"

_tries = 1  # at the folder that is taken now


def run_name(overrides: Sequence[str], fixed: Collection[str], seed: object = None) -> str:
    """The name of a run in its sweep: what the sweep varies, by key, and the seed.

    A choice of a config group stands alone where no other group has one of the name, other settings are ``key=value``.
    The name depends on the run's own settings and on which keys vary, so that some runs of a sweep asked for again have
    their folders again, as long as the same keys vary: ``method=choice(open)`` is one value of a key that varies.

    It is safe on shells and file systems; of a value that is not, a digest of eight digits tells it from others. Where
    the name would be longer than a file system allows, a digest stands for the settings that do not fit;
    ``overrides.yaml`` in the folder lists them all.

    Args:
        overrides: of the run.
        fixed: the keys that have one value in the whole sweep, see :func:`fixed_keys`.
        seed: of the run, where no override sets it.

    Example:
        >>> run_name(["method=open", "noise.delta=0.3", "trainer.max_epochs=9", "seed=1"], ["trainer.max_epochs"])
        'open,noise.delta=0.3,seed=1'
        >>> run_name(["experiment=celeba5/erm", "augmentation=flip_crop"], [], seed=0)
        'flip_crop,celeba5-erm,seed=0'
        >>> run_name(["data.root=/home/me/photos", "method=erm"], [])
        'data.root=home-me-photos-46033733,erm'
    """
    settings = {key.lstrip("+"): value for key, _, value in (one.partition("=") for one in overrides)}
    end = [f"seed={_plain(str(settings.pop('seed', seed)))}"] if "seed" in settings or seed is not None else []
    varied = sorted((key, value) for key, value in settings.items() if key not in fixed)
    pieces = [_piece(key, value) for key, value in varied]
    name, kept = ",".join([*pieces, *end]), len(pieces)
    digest = _digest(",".join(f"{key}={value}" for key, value in varied))
    while len(name) > LONGEST:
        kept -= 1
        name = ",".join([*pieces[:kept], digest, *end])
    return name or "run"


def fixed_keys(config: DictConfig) -> set[str]:
    """The keys that have one value in all jobs of a sweep.

    Args:
        config: of the command; a key that it gives no value, or several, is up to the sweeper, and so is one
            of its rows.
    """
    params, rows = (config.hydra.sweeper.get(name) or {} for name in ("params", "rows"))
    given = [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    parsed = OverridesParser.create().parse_overrides(given)
    sweeps = {override.get_key_element().lstrip("+"): override.is_sweep_override() for override in parsed}
    of_rows = {override.partition("=")[0].lstrip("+") for row in rows for override in row.split()}
    return {key for key, several in sweeps.items() if not several} - of_rows


def _piece(key: str, value: str) -> str:
    """One setting in a name."""
    if value in groups().get(key, []):
        choice = value.replace("/", "-")
        return choice if _choices()[choice] == 1 else f"{key}={choice}"
    return f"{re.sub(_UNSAFE, '-', key)}={_plain(value)}"


def _plain(value: str) -> str:
    """A value without characters that have a meaning to shells or file systems."""
    if not re.search(_UNSAFE, value):
        return value
    return f"{re.sub(_UNSAFE, '-', value).strip('-')}-{_digest(value)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@cache
def _choices() -> Counter[str]:
    """How many groups have a choice of each name."""
    return Counter(choice.replace("/", "-") for choices in groups().values() for choice in choices)


def register_resolvers() -> None:
    """Make what the config files use known to OmegaConf, in this process."""
    # As the time is, it is remembered in a config, and in those of the jobs of a sweep.
    OmegaConf.register_new_resolver("again", lambda: "" if _tries == 1 else f"-{_tries}", replace=True, use_cache=True)


def take_folder(config: DictConfig) -> None:
    """Make the folder that is named by the time, under a name that no other run has taken in the same second.

    One that a setting names is left to whoever runs in it.

    Args:
        config: of the run or sweep; ``output_dir`` is that of the folder taken from now on.
    """
    global _tries
    if "${again:}" not in str(OmegaConf.to_container(config, resolve=False)["output_dir"]):  # type: ignore[index, call-overload]
        return
    _tries = 1
    while True:
        folder = Path(config.output_dir)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            _tries += 1
            OmegaConf.clear_cache(config)
            continue
        except OSError:  # which whoever runs in it will meet, and say
            pass
        return
