"""Replaces the values ``auto`` and ``pretrained``, which depend on the device or on a network's published weights.

The run records the values, so that it resumes with them on any machine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from oponm.errors import InputError

log = logging.getLogger(__name__)
_SLOW = "is about twice as slow as 32-true on this processor, which has neither AVX512-BF16 nor AMX: take auto"
_AUTO = "auto"
_PRETRAINED = "pretrained"
_MOST_LR = {"SGD": 0.02, "Adam": 2e-3, "AdamW": 2e-3}  # above these, pretrained weights are usually lost


class Origin(NamedTuple):
    """The preprocessing with which published weights were trained.

    Attributes:
        mean: mean of each channel, by which images are normalized, in [0, 1].
        std: standard deviation of each channel.
        image_size: (H, W), in pixels.
        fixed_size: whether the network takes only images of the size that its option ``img_size`` gives.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: tuple[int, int]
    fixed_size: bool


def resolve(config: DictConfig) -> None:
    """Replace ``auto`` under ``trainer`` and ``pretrained`` under ``data`` by actual values, and log them.

    ``trainer.precision=auto`` becomes ``bf16-mixed`` where the device is fast in bfloat16, else ``32-true``;
    ``trainer.channels_last=auto`` becomes true where precision is not ``32-true``. ``data.statistics=pretrained`` and
    ``data.image_size=pretrained`` become those of the network's published weights. A network of timm that takes only
    one image size is made for ``data.image_size``; timm interpolates position embeddings of pretrained weights.

    Args:
        config: the run's config, changed in place.

    Raises:
        InputError: with the key of a setting for which no value can be found: ``pretrained`` without published weights,
            ``auto`` for an unknown accelerator, or an accelerator that this machine lacks.

    Example:
        >>> parts = {"trainer": {"precision": "32-true", "channels_last": "auto"}}
        >>> parts |= {"data": {"statistics": "pretrained", "image_size": "pretrained"}}
        >>> parts |= {"model": {"_target_": "oponm.models.timm_model", "name": "vit_tiny_patch16_224"}}
        >>> config = OmegaConf.create(parts)
        >>> resolve(config)
        >>> config.trainer.channels_last, config.data.image_size, list(config.data.statistics["mean"])
        (False, 224, [0.5, 0.5, 0.5])
    """
    _resolve_precision(config.trainer)
    with open_dict(config):
        _resolve_pretrained(config.data, config.model)


def warn_of_pretrained(model: DictConfig, optimizer: DictConfig, statistics: Sequence[Sequence[float]]) -> None:
    """Log a warning if the statistics or the learning rate do not suit the pretrained weights.

    Args:
        model: the settings under ``model``.
        optimizer: the settings under ``optimizer``.
        statistics: the means of the channels, and their standard deviations, by which images are normalized.
    """
    if not model.get("pretrained"):
        return
    origin = origin_of(model)
    if origin is not None and [list(each) for each in statistics] != [list(origin.mean), list(origin.std)]:
        log.warning("the weights were trained on images normalized by other statistics: data.statistics=pretrained")
    most, lr = _MOST_LR.get(str(optimizer.get("_target_")).rpartition(".")[2]), optimizer.get("lr")
    if most is not None and isinstance(lr, (int, float)) and lr > most:
        log.warning(
            "optimizer.lr=%g is likely to destroy pretrained weights: at most %g, or experiment=finetune", lr, most
        )


def origin_of(model: DictConfig) -> Origin | None:
    """Return the preprocessing with which the published weights of a network were trained; nothing is downloaded.

    Args:
        model: config of the group ``model``.

    Returns:
        None for other networks, and for those without published weights.
    """
    target, name = str(model.get("_target_")), str(model.get("name"))
    if target == "oponm.models.timm_model":
        from timm.models import get_pretrained_cfg

        found = get_pretrained_cfg(name, allow_unregistered=True)
        if found is None or not found.has_weights:
            return None
        own = {**found.to_dict(), **(model.get("pretrained_cfg_overlay") or {})}
        return Origin(tuple(own["mean"]), tuple(own["std"]), tuple(own["input_size"][1:]), bool(found.fixed_input_size))
    if target == "oponm.models.torchvision_model":
        from torchvision import models

        if name not in models.list_models(models):
            return None
        weights = getattr(models.get_model_weights(name), "DEFAULT", None)
        if weights is None:
            return None
        preset = weights.transforms()
        (size,) = preset.crop_size
        mean, std = tuple(preset.mean), tuple(preset.std)
        if name in ("googlenet", "inception_v3"):  # torchvision's change the statistics inside, which is off here
            mean = std = (0.5, 0.5, 0.5)
        return Origin(mean, std, (size, size), False)
    return None


def _resolve_precision(trainer: DictConfig) -> None:
    asked = trainer.get("accelerator")
    if asked in (_AUTO, "cpu", "gpu", "cuda", "mps", None):
        device = _device(asked)
        found = {"gpu": device != "cpu", "cuda": device == "cuda", "mps": torch.backends.mps.is_available()}
        if not found.get(str(asked), True):
            remedy = "take auto or cpu, or check the driver and that torch is built for the device"
            raise InputError(
                f"is {asked}, but torch finds no such device on this machine: {remedy}", "trainer.accelerator"
            )
        if trainer.precision == _AUTO:
            trainer.precision = "bf16-mixed" if _fast_in_bf16(device) else "32-true"
            log.info("trainer.precision=auto: %s, on %s", trainer.precision, device)
        elif "bf16" in str(trainer.precision) and device == "cpu" and not _fast_in_bf16(device):
            log.warning("trainer.precision=%s %s", trainer.precision, _SLOW)
    elif trainer.precision == _AUTO:
        raise InputError(
            f"cannot be auto for the accelerator {trainer.accelerator}: set a precision, such as 32-true",
            "trainer.precision",
        )
    if trainer.channels_last == _AUTO:
        trainer.channels_last = str(trainer.precision) not in ("32-true", "32", "64-true", "64")
        log.info("trainer.channels_last=auto: %s", str(trainer.channels_last).lower())


def _device(accelerator: str | None) -> str:
    """``cuda``, ``mps`` or ``cpu``: what Lightning takes for an accelerator."""
    if accelerator == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _fast_in_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu" and hasattr(torch.cpu, "get_capabilities"):  # newer versions of torch have it
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    return False


def _resolve_pretrained(data: DictConfig, model: DictConfig) -> None:
    asked = [key for key in ("statistics", "image_size") if data.get(key) == _PRETRAINED]
    origin = origin_of(model) if asked or model.get("_target_") == "oponm.models.timm_model" else None
    if asked and origin is None:
        raise InputError(
            f"cannot be pretrained, as no weights are published for {model.get('name', 'the network')}: set a value, "
            "or take a network of model=timm or model=torchvision that has published weights",
            f"data.{asked[0]}",
        )
    if asked and not model.get("pretrained") and not model.get("weights"):
        remedy = "set model.pretrained=true, or model.weights=FILE"
        log.warning(
            "the network starts from random weights, though data.%s is that of published ones: %s", asked[0], remedy
        )
    if origin is None:
        return
    if "statistics" in asked:
        data.statistics = {"mean": list(origin.mean), "std": list(origin.std)}
    if "image_size" in asked:
        height, width = origin.image_size
        data.image_size = height if height == width else [height, width]
    found: Any = OmegaConf.to_container(data)
    for key in asked:
        log.info("data.%s=pretrained: %s", key, found[key])
    size = found.get("image_size")
    if origin.fixed_size and size not in (None, origin.image_size[0], list(origin.image_size)):
        model.setdefault("img_size", size)
