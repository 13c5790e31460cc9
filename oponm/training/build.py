"""Builds the objects of a run from a composed config; given objects replace config groups."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from oponm.configs import plain
from oponm.data import LongTailDataModule
from oponm.errors import InputError, check_flag, check_real
from oponm.models import make_network
from oponm.models.build import HEAD_KEYS
from oponm.rng import derived_randomness
from oponm.training.module import LongTailModule, Parts
from oponm.training.parameter_groups import GROUP_KEYS, grouped
from oponm.training.phase_cache import PhaseCache
from oponm.training.phases import PhasePlan
from oponm.training.rehearsal import try_parts
from oponm.training.resolve import warn_of_pretrained

_MISTAKES = (TypeError, AttributeError, ValueError, RuntimeError, MemoryError)  # what an unexpected setting raises
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_NO_SETTING = "is no setting of this choice; 'oponm train --cfg job' lists the keys"


def build(
    config: DictConfig, given: Mapping[str, Any] | None = None
) -> tuple[LongTailModule, LongTailDataModule, PhasePlan]:
    """Make and set up data, model and phases, and check by small forward and backward passes that they work together.

    Nothing is written.

    Args:
        config: the run's config.
        given: dict from config group to the object that replaces it.

    Raises:
        InputError: naming the full key of a setting that cannot be used.
    """
    given = given or {}
    with full_keys(config):
        build_plan(config, given)  # first, as it costs nothing and images are slow to read
        data = build_data(config, given)
        parts = build_parts(config, data, given)
        module = LongTailModule(
            parts.network,
            class_counts=data.class_counts,
            optimizer=parts.optimizer,
            schedule=parts.schedule,
            seed=config.seed,
            shots=plain(config.shots),
            loss=parts.loss,
            channels_last=check_flag("channels_last", config.trainer.channels_last),
            compile=config.trainer.compile,
            compile_mode=config.trainer.get("compile_mode", "default"),
            split_noise=config.trainer.split_noise,
            confusion_matrix=config.trainer.confusion_matrix,
        )
        module.has_idle_weights = parts.idle
        module.model_config = None if isinstance(given.get("model"), nn.Module) else plain(config.model)
        return module, data, parts.plan


def build_data(config: DictConfig, given: Mapping[str, Any] | None = None) -> LongTailDataModule:
    """Make and set up the data module alone.

    Args:
        config: the run's config.
        given: dict from config group to the object that replaces it.

    Raises:
        InputError: naming the full key of a setting that cannot be used.
    """
    given = given or {}
    with full_keys(config):
        if (data := given.get("data")) is not None:
            return data.for_run(config.seed, _part(config, given, "noise"))
        data = make_data(config)
        data.setup()
        return data


def make_data(config: DictConfig, **parts: Any) -> LongTailDataModule:
    """Make the data module from the groups ``data``, ``augmentation``, ``noise`` and ``mixing``; it is not set up.

    Args:
        config: the run's config.
        **parts: factories that replace the config's ``augmentation``, ``noise`` or ``mixing``.

    Raises:
        InputError: for a group that cannot be made.
    """
    parts = {group: _part(config, parts, group) for group in ("augmentation", "noise", "mixing")}
    return instantiate(config.data, seed=config.seed, **parts)


def build_parts(config: DictConfig, data: LongTailDataModule, given: Mapping[str, Any] | None = None) -> Parts:
    """Make the phases, the network, the optimizer, the schedule and the loss, and check that they work together.

    The check runs small forward and backward passes.

    Args:
        config: the run's config.
        data: the data module, set up.
        given: dict from config group to the object that replaces it.

    Raises:
        InputError: naming the config group that cannot be used.
    """
    given = given or {}
    plan = build_plan(config, given)
    schedule = _part(config, given, "schedule")(max_epochs=plan.max_epochs)
    warn_of_pretrained(config, data.statistics)
    network = build_network(config, given, len(data.class_names), data.image_shape)
    parts = Parts(plan, network, build_optimizer(config, given), schedule, _part(config, given, "loss"))
    idle = try_parts(data, parts, plain(config.norm), config.trainer.compile, config.trainer.split_noise)
    return parts._replace(idle=idle)


def build_phase_cache(config: DictConfig) -> PhaseCache | None:
    """Make the phase cache that the config names; return None if ``phase_cache`` is off.

    Args:
        config: the run's config.

    Raises:
        InputError: if ``phase_cache`` is neither a folder nor off.
    """
    folder = config.phase_cache
    if folder in (None, False, "off"):
        return None
    if not isinstance(folder, str) or not folder:
        raise InputError(f"must be a folder, or off, got {folder!r}", "phase_cache")
    return PhaseCache(Path(folder).expanduser())


def build_each(config: DictConfig, group: str, kind: Any) -> list[Any]:
    """Make the callbacks or loggers that a config group lists, in the order of the config.

    Args:
        config: the run's config.
        group: ``"callbacks"`` or ``"logger"``.
        kind: the class that all objects must be instances of.

    Raises:
        InputError: naming the key of an object that cannot be made.
    """
    named, noun = config[group], kind.__name__.lower()
    for name, settings in named.items():
        if not OmegaConf.is_dict(settings):
            raise InputError(f"must be the settings of a {noun}, got {settings!r}", f"{group}.{name}")
    with full_keys(config):
        made = [instantiate(each, _convert_="all") for each in named.values()]
    for name, thing in zip(named, made, strict=True):
        if not isinstance(thing, kind):
            raise InputError(f"must make a {noun} of Lightning's, and makes {thing!r}", f"{group}.{name}")
    return made


@contextmanager
def full_keys(config: DictConfig) -> Iterator[None]:
    """Context manager that replaces the key of an InputError raised in the block by its full path in the config.

    Args:
        config: the run's config.

    Raises:
        InputError: also in place of any other error from the block, except one about a file: as nothing has been
            written or trained yet, a setting must be the cause.
    """
    try:
        try:
            yield
        except InstantiationException as error:
            if isinstance(error.__cause__, InputError):
                raise error.__cause__ from None
            raise InputError(_explain(error)) from error
        except _MISTAKES as error:
            if isinstance(error, InputError) or _at_file(error) or _at_file(error.__cause__):
                raise
            if unexpected := _UNEXPECTED.search(str(error)):  # a setting that the target does not take
                raise InputError(_NO_SETTING, unexpected[1]) from error
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise InputError(f"the configuration cannot be used ({reason}); OPONM_DEBUG=1 shows where") from error
    except InputError as error:
        paths = [path for path in _paths(config) if error.key and path.rpartition(".")[2] == error.key]
        if len(paths) == 1:
            raise InputError(error.message, paths[0]) from error
        raise


def _part(config: DictConfig, given: Mapping[str, Any], group: str) -> Any:
    """The object of a config group: the given one, or the one that the settings describe."""
    if group in given:
        return given[group]
    try:
        return instantiate({**plain(config[group]), "_partial_": True}, _convert_="all")
    except InstantiationException as error:
        raise InputError(f"cannot be made: {_in_its_words(error)}", group) from error


def build_optimizer(config: DictConfig, given: Mapping[str, Any]) -> Callable[..., torch.optim.Optimizer]:
    """Return the factory of the optimizer; it makes parameter groups if the settings define them.

    Args:
        config: the run's config.
        given: dict from config group to the object that replaces it.
    """
    if "optimizer" in given:
        return grouped(given["optimizer"], plain(config.optimizer))
    settings = plain(config.optimizer)
    for key in ("lr", "weight_decay"):
        if key in settings:
            check_real(f"optimizer.{key}", settings[key], 0)
    own = {key: value for key, value in settings.items() if key not in GROUP_KEYS}
    return grouped(_part(OmegaConf.create({"optimizer": own}), {}, "optimizer"), settings)


def build_plan(config: DictConfig, given: Mapping[str, Any]) -> PhasePlan:
    """Make the plan of the run: the epoch in which each phase of the method starts, for ``trainer.max_epochs`` epochs.

    Args:
        config: the run's config.
        given: dict from config group to the object that replaces it.
    """
    epochs, tau = config.trainer.max_epochs, config.method.get("tau")
    if "method" in given:
        return PhasePlan(given["method"], epochs, tau)
    listed = config.method.phases
    phases = instantiate(listed, _convert_="all") if OmegaConf.is_list(listed) else listed
    return PhasePlan.from_config(phases, epochs, tau)


def build_network(
    config: DictConfig, given: Mapping[str, Any], num_classes: int, image_shape: Sequence[int]
) -> nn.Module:
    """Make the network with its head; its initial weights come from ``seed`` or from a file.

    Args:
        config: the run's config.
        given: dict from config group to the object that replaces it.
        num_classes: number of classes, the network's outputs.
        image_shape: (C, H, W).
    """
    settings, model = plain(config.model), given.get("model")
    if isinstance(model, nn.Module):
        make: Callable[..., nn.Module] = lambda num_classes, in_channels: model  # noqa: E731
    elif model is not None:
        make = model
    else:
        own = {key: value for key, value in settings.items() if key not in HEAD_KEYS}
        try:
            make = instantiate({**own, "_partial_": True})
        except InstantiationException as error:
            raise InputError(f"cannot be made: {_in_its_words(error)}", "model") from error
    options = {key: settings.get(key) for key in HEAD_KEYS} | {"head": settings.get("head", "linear")}
    with derived_randomness(config.seed, "model"):
        return make_network(make, num_classes, image_shape[0], **options, image_size=image_shape[1:])


def _at_file(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.filename is not None


def _paths(node: Any, prefix: str = "") -> list[str]:
    found = []
    for key in node:
        found.append(f"{prefix}{key}")
        borrowed = OmegaConf.is_interpolation(node, key) or OmegaConf.is_missing(node, key)
        if not borrowed and OmegaConf.is_dict(node[key]):
            found += _paths(node[key], f"{prefix}{key}.")
    return found


def _explain(error: InstantiationException) -> str:
    """Name the config group at fault and the cause, in the words of the cause."""
    text = _in_its_words(error)
    key = " ".join(str(error).split()).partition(" full_key: ")[2]
    if unexpected := _UNEXPECTED.search(text):
        return f"{key}.{unexpected[1]} {_NO_SETTING}"
    return f"{key} cannot be made: {text}"


def _in_its_words(error: InstantiationException) -> str:
    """Hydra's message without its advice; for a failed import, the reason."""
    text = " ".join(str(error).split()).partition(" full_key: ")[0].partition(", set env var")[0]
    cause: BaseException = error
    while cause.__cause__:
        cause = cause.__cause__
    if not text.startswith("Error locating target"):
        return text
    if str(cause).endswith("is not a package"):  # the target names something inside a file that does not define it
        return text
    where = traceback.extract_tb(cause.__traceback__)[-1] if cause.__traceback__ else None
    line = f", line {where.lineno} of {where.filename}" if where and not isinstance(cause, ImportError) else ""
    return f"{text} ({type(cause).__name__}: {' '.join(str(cause).split())}{line})"
