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
from omegaconf.errors import OmegaConfBaseException
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
from oponm.training.phases import Phase, PhasePlan
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
        # First, as it costs nothing and images are slow to read.
        build_plan(config.method, config.trainer.max_epochs, given.get("method"))
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
            return data.for_run(config.seed, make_part("noise", config.noise, given.get("noise")))
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
    made = {group: make_part(group, config[group], parts.get(group)) for group in ("augmentation", "noise", "mixing")}
    return instantiate(config.data, seed=config.seed, **made)


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
    plan = build_plan(config.method, config.trainer.max_epochs, given.get("method"))
    schedule = make_part("schedule", config.schedule, given.get("schedule"))(max_epochs=plan.max_epochs)
    warn_of_pretrained(config.model, config.optimizer, data.statistics)
    network = build_network(config.model, config.seed, len(data.class_names), data.image_shape, given.get("model"))
    optimizer = build_optimizer(config.optimizer, given.get("optimizer"))
    parts = Parts(plan, network, optimizer, schedule, make_part("loss", config.loss, given.get("loss")))
    idle = try_parts(data, parts, plain(config.norm), config.trainer.compile, config.trainer.split_noise)
    return parts._replace(idle=idle)


def build_phase_cache(folder: Any) -> PhaseCache | None:
    """Make the phase cache in a folder; return None if ``phase_cache`` is off.

    Args:
        folder: the value of ``phase_cache``: a path; ``"off"``, false or None for no cache.

    Raises:
        InputError: if ``phase_cache`` is neither a folder nor off.
    """
    if folder in (None, False, "off"):
        return None
    if not isinstance(folder, str) or not folder:
        raise InputError(f"must be a folder, or off, got {folder!r}", "phase_cache")
    return PhaseCache(Path(folder).expanduser())


def build_each(group: str, named: DictConfig, kind: Any) -> list[Any]:
    """Make the callbacks or loggers that a config group lists, in the order of the config.

    Args:
        group: ``"callbacks"`` or ``"logger"``.
        named: the settings of each object in the group, by its name.
        kind: the class that all objects must be instances of.

    Raises:
        InputError: naming the key of an object that cannot be made.
    """
    noun = kind.__name__.lower()
    for name, settings in zip(map(str, named), named.values(), strict=True):
        if not OmegaConf.is_dict(settings):
            raise InputError(f"must be the settings of a {noun}, got {settings!r}", f"{group}.{name}")
    with full_keys(named, f"{group}."):
        made = [instantiate(each, _convert_="all") for each in named.values()]
    for name, thing in zip(map(str, named), made, strict=True):
        if not isinstance(thing, kind):
            raise InputError(f"must make a {noun} of Lightning's, and makes {thing!r}", f"{group}.{name}")
    return made


@contextmanager
def full_keys(config: DictConfig, prefix: str = "") -> Iterator[None]:
    """Context manager that replaces the key of an InputError raised in the block by its full path in the config.

    Args:
        config: the run's config, or a group of it.
        prefix: full key of the group with a dot, such as ``"callbacks."``; empty for the whole config.

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
        except OmegaConfBaseException as error:
            if not error.full_key:
                raise
            raise InputError(f"cannot be resolved: {str(error.msg).splitlines()[0]}", str(error.full_key)) from error
        except _MISTAKES as error:
            if isinstance(error, InputError) or _at_file(error) or _at_file(error.__cause__):
                raise
            if unexpected := _UNEXPECTED.search(str(error)):  # a setting that the target does not take
                raise InputError(_NO_SETTING, unexpected[1]) from error
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise InputError(f"the configuration cannot be used ({reason}); OPONM_DEBUG=1 shows where") from error
    except InputError as error:
        paths = [path for path in _paths(config, prefix) if error.key and path.rpartition(".")[2] == error.key]
        if len(paths) == 1:
            raise InputError(error.message, paths[0]) from error
        raise


def make_part(group: str, settings: Mapping[str, Any], given: Any = None) -> Any:
    """Make the factory that a config group describes.

    Args:
        group: name of the group, for errors.
        settings: the group's settings.
        given: an object in place of the settings, which is returned.

    Raises:
        InputError: naming the group.
    """
    if given is not None:
        return given
    try:
        return instantiate({**plain(settings), "_partial_": True}, _convert_="all")
    except InstantiationException as error:
        raise InputError(f"cannot be made: {_in_its_words(error)}", group) from error


def build_optimizer(node: DictConfig, given: Any = None) -> Callable[..., torch.optim.Optimizer]:
    """Return the factory of the optimizer; it makes parameter groups if the settings define them.

    Args:
        node: the settings under ``optimizer``.
        given: a factory of the optimizer in place of the one that they describe.
    """
    settings = plain(node)
    if given is not None:
        return grouped(given, settings)
    for key in ("lr", "weight_decay"):
        if key in settings:
            check_real(f"optimizer.{key}", settings[key], 0)
    own = {key: value for key, value in settings.items() if key not in GROUP_KEYS}
    return grouped(make_part("optimizer", own), settings)


def build_plan(method: DictConfig, max_epochs: int, given: Sequence[Phase] | None = None) -> PhasePlan:
    """Make the plan of the run: the epoch in which each phase of the method starts.

    Args:
        method: the settings under ``method``.
        max_epochs: length of the run.
        given: phases in place of those of the settings.
    """
    tau = method.get("tau")
    if given is not None:
        return PhasePlan(given, max_epochs, tau)
    listed = method.phases
    phases = instantiate(listed, _convert_="all") if OmegaConf.is_list(listed) else listed
    return PhasePlan.from_config(phases, max_epochs, tau)


def build_network(
    node: DictConfig, seed: int, num_classes: int, image_shape: Sequence[int], given: Any = None
) -> nn.Module:
    """Make the network with its head; its initial weights come from ``seed`` or from a file.

    Args:
        node: the settings under ``model``.
        seed: seed of the run.
        num_classes: number of classes, the network's outputs.
        image_shape: (C, H, W).
        given: a network, or a factory of one, in place of the one that the settings describe.
    """
    settings = plain(node)
    if isinstance(given, nn.Module):
        make: Callable[..., nn.Module] = lambda num_classes, in_channels: given  # noqa: E731
    elif given is not None:
        make = given
    else:
        own = {key: value for key, value in settings.items() if key not in HEAD_KEYS}
        try:
            make = instantiate({**own, "_partial_": True})
        except InstantiationException as error:
            raise InputError(f"cannot be made: {_in_its_words(error)}", "model") from error
    options = {key: settings.get(key) for key in HEAD_KEYS} | {"head": settings.get("head", "linear")}
    with derived_randomness(seed, "model"):
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
