"""Names the folders of runs from their configuration."""

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

_tries = 1  # number of tries at the folder name that is taken now
# Cached, so that a config and those of a sweep's jobs resolve it once, like the time.
OmegaConf.register_new_resolver("again", lambda: "" if _tries == 1 else f"-{_tries}", replace=True, use_cache=True)


def run_name(overrides: Sequence[str], fixed: Collection[str], seed: object = None) -> str:
    """Return the name of a run in its sweep: the settings that the sweep varies, sorted by key, and the seed.

    A choice of a config group appears without its group if no other group has a choice of that name; other settings are
    ``key=value``. The name depends only on the run's settings and on which keys vary. So if you start a part of a sweep
    again, its runs get the same folders as long as the same keys vary. To let a key with one value count as varying,
    write ``method=choice(open)``.

    The name is safe in shells and file systems: other characters of a value are replaced by ``-``, and eight digits of
    the value's hash follow. If the name would be longer than a file system allows, a hash replaces the settings that do
    not fit; ``overrides.yaml`` in the folder lists them all.

    Args:
        overrides: the run's overrides, as ``key=value``.
        fixed: keys with one value in the whole sweep, which the name leaves out, from :func:`fixed_keys`.
        seed: the run's seed, if no override sets it; None leaves the seed out.

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
    """Return the keys that overrides or ``hydra.sweeper.params`` set to one value in all jobs of a sweep.

    Keys with several values, and the keys of the sweeper's ``rows``, vary and are not returned.

    Args:
        config: the command's config, with the part ``hydra``.
    """
    params, rows = (config.hydra.sweeper.get(name) or {} for name in ("params", "rows"))
    given = [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]
    parsed = OverridesParser.create().parse_overrides(given)
    sweeps = {override.get_key_element().lstrip("+"): override.is_sweep_override() for override in parsed}
    of_rows = {override.partition("=")[0].lstrip("+") for row in rows for override in row.split()}
    return {key for key, several in sweeps.items() if not several} - of_rows


def _piece(key: str, value: str) -> str:
    """One setting as a part of a name."""
    if value in groups().get(key, []):
        choice = value.replace("/", "-")
        return choice if _choices()[choice] == 1 else f"{key}={choice}"
    return f"{re.sub(_UNSAFE, '-', key)}={_plain(value)}"


def _plain(value: str) -> str:
    """A value without characters that are special to shells or file systems."""
    if not re.search(_UNSAFE, value):
        return value
    return f"{re.sub(_UNSAFE, '-', value).strip('-')}-{_digest(value)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@cache
def _choices() -> Counter[str]:
    """The number of groups that have a choice of each name."""
    return Counter(choice.replace("/", "-") for choices in groups().values() for choice in choices)


def take_folder(config: DictConfig) -> None:
    """Create the default folder of a run or sweep, whose name is the time at which it started.

    If another run or sweep has created that folder in the same second, ``-2`` is added to the name, or the next free
    number. If the user has set ``output_dir``, nothing is created here.

    Args:
        config: config of the run or sweep; its ``output_dir`` then resolves to the new folder.
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
        except OSError:  # the run meets the same error and reports it
            pass
        return
