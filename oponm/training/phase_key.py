"""Hashes everything that determines the state of training at the end of a phase."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import (
    DeviceStatsMonitor,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    RichModelSummary,
)
from torch import Tensor, nn

import oponm
from oponm.data import LongTailDataModule
from oponm.nn import revert_batchnorm
from oponm.nn.kernel import chosen_kernel
from oponm.own_code import UnknownCode, own_code, targets
from oponm.training.distributed import world_size
from oponm.training.module import LongTailModule
from oponm.training.plain_phase import auxiliary_names

VERSIONED = ("torch", "torchvision", "pytorch-lightning", "kornia", "timm", "numpy", "pillow")
_UNRELATED = {"cli", "logging", "report"}  # packages that no weight depends on
_OF_MODULES = {*vars(nn.Module()), "_compiled_call_impl"}


# Options of the trainer that no weight depends on.
_HARMLESS = {"accelerator", "devices", "num_nodes", "max_epochs", "precision", "plugins", "sync_batchnorm", "profiler"}
_HARMLESS |= {"log_every_n_steps", "enable_progress_bar", "enable_model_summary", "default_root_dir", "detect_anomaly"}
_HARMLESS |= {"max_time", "trainer_class", "num_sanity_val_steps", "enable_checkpointing", "fast_dev_run"}


def phase_key(
    module: LongTailModule,
    data: LongTailDataModule,
    trainer: pl.Trainer,
    epoch: int,
    options: Mapping[str, Any] | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> str:
    """Return the SHA-256 of everything that determines the state of training after ``epoch`` epochs.

    That is: the code, including the user's own, and its versions, the device, the training images and their
    augmentation, the network, its settings and its initial weights, the optimizer, the seed, and for each of these
    epochs its sampler, noise, mixing, loss, trained part and learning rate. Later epochs are not included, so methods
    that differ only later share the hash. The noise is included only if one of these epochs has noise, and the kind of
    batch norm unless :func:`trains_as_plain` is true. The ``tau`` of the method and the few-shot thresholds are
    included if epochs are validated, because the best epoch and its metrics depend on them.

    Args:
        module: the module, not trained yet.
        data: the data module, set up.
        trainer: the trainer, not started yet; its device and precision are included.
        epoch: number of epochs, at least 1.
        options: options of the trainer, by name.
        callbacks: the user's callbacks. A callback with ``changes_nothing = True`` is left out. Another one must have
            an attribute ``settings``, which is included.

    Raises:
        NotImplementedError: for a setting that cannot be described in a way that is the same in every process, for code
            that is in no file, or for a callback that may change the weights and has no ``settings``.
    """
    plan = module.plan
    epochs = range(epoch)
    noise = any(plan.at(number).noise for number in epochs)
    facts = {
        "code": source_digest(),
        "versions": {name: version(name) for name in VERSIONED},
        "device": _device(trainer),
        "precision": str(trainer.precision),
        "threads": torch.get_num_threads(),
        "matmul": torch.get_float32_matmul_precision(),
        "execution": [
            str(module.memory_format),
            module.compiles and module.compile_mode,
            chosen_kernel(),
            bool((options or {}).get("sync_batchnorm")) and world_size() > 1,
        ],
        "seed": module.seed,
        "data": _data(data),
        "model": _network(module, routed=not trains_as_plain(module, data, epoch)),
        "optimizer": describe(module.make_optimizer),
        "loss": describe(module.make_loss),
        "mixing": describe(data.make_mixing),
        "noise": [describe(data.make_noise), module.split_noise] if noise else None,
        "trainer": {name: describe(value) for name, value in sorted((options or {}).items()) if _counts(name, value)},
        "callbacks": [_callback(each) for each in callbacks if not getattr(each, "changes_nothing", False)],
        "epochs": [_epoch(module, number) for number in epochs],
        "validated": [plan.tau, describe(module.shots)] if data.val != "none" else None,  # for the best epoch
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _counts(name: str, value: Any) -> bool:
    return name not in _HARMLESS and value is not None


def _callback(callback: pl.Callback) -> dict[str, Any] | None:
    """A user's callback as its class and its settings; None for callbacks that only watch."""
    if type(callback) in (LearningRateMonitor, DeviceStatsMonitor, ModelCheckpoint, ModelSummary, RichModelSummary):
        return None
    if (settings := getattr(callback, "settings", None)) is None:
        name = type(callback).__name__
        raise NotImplementedError(
            f"the callback {name} may change weights; if it does not, set changes_nothing = True in its class"
        )
    return {"class": describe(type(callback)), "settings": describe(settings)}


def trains_as_plain(module: LongTailModule, data: LongTailDataModule, epoch: int) -> bool:
    """Whether the state after some epochs is that of a network with standard batch norm.

    It is if none of these epochs has noise. Auxiliary batch norm adds weights and buffers that only noise rows change,
    so their initial values are disregarded. It also requires that the optimizer has these weights in a separate group,
    that there is one process, and that no checkpoint of a best epoch is written.

    Args:
        module: the module, not trained yet.
        data: the data module, set up.
        epoch: number of epochs, at least 1.
    """
    if any(module.plan.at(number).noise for number in range(epoch)):
        return False
    return not auxiliary_names(module.model) or (module.apart and world_size() == 1 and data.val == "none")


def _epoch(module: LongTailModule, epoch: int) -> list[Any]:
    plan, phase = module.plan, module.plan.at(epoch)
    settings = {name: describe(value) for name, value in vars(phase).items() if name not in ("epochs", "schedule")}
    gradual = phase.noise or phase.sampler == "progressively_balanced"
    begins = epoch in plan.starts and (phase.reset_classifier or phase.trainable != "all")
    by_step = getattr(module.schedule, "interval", "epoch") == "step"
    times = [epoch + part / 8 for part in range(8)] if by_step else [epoch]
    rates = [plan.rate(time, module.schedule) for time in times]
    return [settings, plan.progress(epoch) if gradual else None, begins, rates]


def _data(data: LongTailDataModule) -> dict[str, Any]:
    validated = data.val_set if data.val != "none" else None
    return {
        "training": [data.content_digest, data.train_set.fingerprint()],
        "classes": data.class_names,
        "batch_size": data.batch_size,
        "seed": data.seed,
        "statistics": [list(values) for values in data.statistics],
        "shape": list(data.image_shape),
        "module": _origin([type(data), type(data.train_set)]),
        "storage": type(data.train_set).__qualname__,
        "augmentation": describe(data.make_augmentation),
        "validation": [validated.digest(), validated.fingerprint()] if validated else None,
    }


def _network(module: LongTailModule, routed: bool) -> dict[str, Any]:
    """Structure, code and initial weights; unless ``routed``, of the network with standard batch norm."""
    model = module.model if routed else revert_batchnorm(copy.deepcopy(module.model))
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    classes = {type(part) for part in model.modules()}
    # Settings that the network's structure does not show; without a config, the attributes of its parts.
    settings = [_kept(part) for part in model.modules()] if module.model_config is None else module.model_config
    return {
        "structure": repr(model),
        "initial": digest.hexdigest(),
        "classes": sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in classes),
        "origin": _origin([*classes, *targets(module.model_config)]),
        "settings": settings,
        "frozen": [name for name, parameter in model.named_parameters() if not parameter.requires_grad],
        "reading": [vars(part).get("noise_grad") for part in model.modules()] if routed else None,
    }


def _kept(part: nn.Module) -> dict[str, Any]:
    """Attributes of a part of a network that are neither tensors nor parts; this package's parts have their code."""
    if type(part).__module__.partition(".")[0] == "oponm":
        return {}
    return {name: describe(value) for name, value in sorted(vars(part).items()) if name not in _OF_MODULES}


def _origin(things: Iterable[Any]) -> dict[str, str]:
    """The code of objects: digests of the user's own files, versions of installed packages."""
    names = [thing if isinstance(thing, str) else f"{thing.__module__}.{thing.__qualname__}" for thing in things]
    try:
        found = own_code(names)
    except UnknownCode as error:
        raise NotImplementedError(str(error)) from error
    for top in {name.partition(".")[0] for name in names} - {"oponm", *VERSIONED}:
        found |= {f"{name} (installed)": version(name) for name in _distributions().get(top, [])}
    return found


@functools.cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _device(trainer: pl.Trainer) -> list[Any]:
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return [device.type, name or torch.backends.cpu.get_cpu_capability(), trainer.world_size]


@functools.cache
def source_digest() -> str:
    """Return the SHA-256 of this package's code, without the packages that no weight depends on.

    Example:
        >>> len(source_digest())
        64
    """
    package = Path(oponm.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        if name.parts[0] not in _UNRELATED:
            digest.update(f"{name}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def describe(thing: Any) -> Any:
    """Describe a setting by JSON values that are the same in every process.

    Args:
        thing: None, a number, a string, a tensor, an array, a torch dtype or device, a function, a class or a
            ``functools.partial``; or a sequence or mapping of these.

    Raises:
        NotImplementedError: for any other object, and for lambdas and functions defined inside functions.

    Example:
        >>> describe(functools.partial(torch.optim.SGD, lr=0.1))
        {'call': 'torch.optim.sgd.SGD', 'args': [], 'keywords': {'lr': 0.1}}
    """
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if isinstance(thing, (torch.dtype, torch.device)):
        return str(thing)
    if isinstance(thing, functools.partial):
        if not (thing.args or thing.keywords):
            return describe(thing.func)
        keywords = {name: describe(value) for name, value in sorted(thing.keywords.items())}
        return {"call": describe(thing.func), "args": describe(thing.args), "keywords": keywords}
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [describe(value) for value in thing]
    if isinstance(thing, (Tensor, np.ndarray)):
        return describe(thing.tolist())
    if inspect.isclass(thing) or inspect.isfunction(thing) or inspect.isbuiltin(thing):
        name = f"{thing.__module__}.{thing.__qualname__}"
        if "<" not in name:  # the name of a lambda does not identify it
            origin = _origin([thing])
            return {"code": name, "origin": origin} if origin else name
    raise NotImplementedError(f"{thing!r} cannot be described in a way that is the same in every process")
