"""From a composed config to the objects of a run."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from oponm.cli.errors import is_bad_input
from oponm.cli.keys import refuse_unknown_keys
from oponm.data import LongTailDataModule
from oponm.errors import InputError, check_choice, check_flag, check_int
from oponm.models import make_network
from oponm.rng import derived_randomness
from oponm.training import LongTailModule, PhaseCache, PhasePlan
from oponm.training.assemble import assemble
from oponm.training.callbacks.nonfinite import REACTIONS

Result = TypeVar("Result")


def build(config: DictConfig) -> tuple[LongTailModule, LongTailDataModule, PhasePlan]:
    """Make and set up data, model and phases, in that order; nothing is written.

    Raises:
        InputError: for whatever in the config cannot be used, by its full key.
    """
    refuse_unknown_keys(config)
    return with_full_keys(config, lambda: _build(config))


def build_data(config: DictConfig) -> LongTailDataModule:
    """Make and set up the data alone.

    Raises:
        InputError: for whatever in the config cannot be used, by its full key.
    """

    def make() -> LongTailDataModule:
        data: LongTailDataModule = instantiate(config.data)
        data.setup()
        return data

    return with_full_keys(config, make)


def with_full_keys(config: DictConfig, make: Callable[[], Result]) -> Result:
    """Call ``make``, and complete the key that an error names to its full path in the config."""
    try:
        try:
            return make()
        except InstantiationException as error:
            if isinstance(error.__cause__, InputError):
                raise error.__cause__ from None
            raise InputError(_explain(error)) from error
        except (TypeError, AttributeError, ValueError, RuntimeError, MemoryError) as error:
            if is_bad_input(error):
                raise
            # Nothing has been written or trained yet: a setting of a kind that nobody expects there.
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise InputError(f"the configuration cannot be used ({reason}); OPONM_DEBUG=1 shows where") from error
    except InputError as error:
        paths = [path for path in _paths(config) if error.key and path.rpartition(".")[2] == error.key]
        if len(paths) == 1:
            raise InputError(error.message, paths[0]) from error
        raise


def _build(config: DictConfig) -> tuple[LongTailModule, LongTailDataModule, PhasePlan]:
    if config.trainer.num_threads is not None:
        torch.set_num_threads(check_int("num_threads", config.trainer.num_threads, minimum=1))
    check_choice("on_nonfinite", config.trainer.on_nonfinite, REACTIONS)
    plan = build_plan(config)
    schedule = instantiate(config.schedule, max_epochs=plan.max_epochs)
    data = build_data(config)
    module = assemble(
        data,
        build_model(config, len(data.class_names), data.image_shape[0], data.image_shape[1:]),
        plan,
        instantiate(config.optimizer),
        schedule,
        instantiate(config.loss),
        _plain(config.norm),
        config.seed,
        _plain(config.shots),
        channels_last=config.trainer.channels_last,
        compile=config.trainer.compile,
        split_noise=config.trainer.split_noise,
        confusion_matrix=config.trainer.confusion_matrix,
        **trainer_options(config),
    )
    module.model_config = _plain(config.model)
    return module, data, plan


def trainer_options(config: DictConfig) -> dict[str, Any]:
    """What is passed on to Lightning's trainer."""
    options = {name: config.trainer[name] for name in ("accelerator", "precision")}
    return options | {"sync_batchnorm": check_flag("sync_batchnorm", config.trainer.sync_batchnorm)}


def build_plan(config: DictConfig) -> PhasePlan:
    """The phases of the method, laid out over the run."""
    listed = config.method.phases
    phases = instantiate(listed, _convert_="all") if OmegaConf.is_list(listed) else listed
    return PhasePlan.from_config(phases, config.trainer.max_epochs, config.method.tau)


def build_model(
    config: DictConfig, num_classes: int, in_channels: int, image_size: Sequence[int] | None = None
) -> nn.Module:
    """Make the network with its head, its initial weights a function of ``seed`` or those of a file."""
    own = ("head", "weights", "classifier")
    settings = {key: value for key, value in _plain(config.model).items() if key not in own}
    try:
        make = instantiate({**settings, "_partial_": True})
    except InstantiationException as error:
        raise InputError(f"cannot be made: {_in_its_words(error)}", "model") from error
    with derived_randomness(config.seed, "model"):
        return make_network(
            *(make, num_classes, in_channels, config.model.get("head", "linear"), config.model.get("weights")),
            *(config.model.get("classifier"), image_size),
        )


def build_phase_cache(config: DictConfig) -> PhaseCache | None:
    """The folder of phases trained before, or None where ``phase_cache`` is off."""
    folder = config.phase_cache
    if folder in (None, False, "off"):
        return None
    if not isinstance(folder, str) or not folder:
        raise InputError(f"must be a folder, or off, got {folder!r}", "phase_cache")
    return PhaseCache(Path(folder).expanduser())


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _paths(node: Any, prefix: str = "") -> list[str]:
    found = []
    for key in node:
        found.append(f"{prefix}{key}")
        borrowed = OmegaConf.is_interpolation(node, key) or OmegaConf.is_missing(node, key)
        if not borrowed and OmegaConf.is_dict(node[key]):
            found += _paths(node[key], f"{prefix}{key}.")
    return found


def _explain(error: InstantiationException) -> str:
    """Say which config group is at fault, in the words of the cause."""
    text = _in_its_words(error)
    key = " ".join(str(error).split()).partition(" full_key: ")[2]
    if unexpected := re.search(r"unexpected keyword argument '(\w+)'", text):
        return f"{key}.{unexpected[1]} is no setting of this choice; 'oponm train --cfg job' lists the keys"
    return f"{key} cannot be made: {text}"


def _in_its_words(error: InstantiationException) -> str:
    """What Hydra says, without its advice, and of an import that failed the reason."""
    text = " ".join(str(error).split()).partition(" full_key: ")[0].partition(", set env var")[0]
    cause: BaseException = error
    while cause.__cause__:
        cause = cause.__cause__
    if not text.startswith("Error locating target"):
        return text
    if str(cause).endswith("is not a package"):  # of what is a file, and has no such name
        return text
    where = traceback.extract_tb(cause.__traceback__)[-1] if cause.__traceback__ else None
    line = f", line {where.lineno} of {where.filename}" if where and not isinstance(cause, ImportError) else ""
    return f"{text} ({type(cause).__name__}: {' '.join(str(cause).split())}{line})"
