"""Makes the optimizer of a network, with parameter groups that differ in learning rate and weight decay."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from oponm.errors import InputError, check_flag, check_real
from oponm.models.classifier import find_classifier

GROUP_KEYS = (
    "backbone_factor",
    "layer_decay",
    "decay_norms",
    "groups",
)  # keys under optimizer that the optimizer lacks


def grouped(make: Callable[..., torch.optim.Optimizer], settings: Mapping[str, Any]) -> Callable[..., Any]:
    """Return a factory of an optimizer that splits the weights into groups, or ``make`` if the settings define none.

    Args:
        make: function from parameter groups to an optimizer, with the optimizer's settings.
        settings: dict with some of the keys :data:`GROUP_KEYS`; missing ones have the defaults of :func:`with_groups`.
            Other keys are ignored.

    Example:
        >>> sgd = partial(torch.optim.SGD, lr=0.1)
        >>> grouped(sgd, {"layer_decay": None}) is sgd, takes_network(grouped(sgd, {"layer_decay": 0.75}))
        (True, True)
    """
    defaults: dict[str, Any] = {"backbone_factor": 1, "layer_decay": None, "decay_norms": True, "groups": []}
    changed = {key: value for key, value in settings.items() if key in defaults and value != defaults[key]}
    return partial(with_groups, make=make, **changed) if changed else make


def takes_network(make: Any) -> bool:
    """Whether a factory of optimizers takes the network and its number of classes, as :func:`with_groups` does.

    Args:
        make: a factory.
    """
    return isinstance(make, partial) and make.func is with_groups


def own_settings(make: Any) -> dict[str, Any]:
    """Return the settings of the optimizer that a factory makes, such as ``lr``.

    Args:
        make: a factory of optimizers. Its settings are known if it is a ``functools.partial``, or comes from
            :func:`grouped`; else the result is empty.

    Example:
        >>> own_settings(grouped(partial(torch.optim.SGD, lr=0.1), {"backbone_factor": 0.1}))
        {'lr': 0.1}
    """
    if takes_network(make):
        make = make.keywords["make"]
    return dict(getattr(make, "keywords", {}))


def takes_groups(make: Any) -> bool:
    """Whether a factory of optimizers is an optimizer class, with or without settings, that takes parameter groups.

    Example:
        >>> takes_groups(partial(torch.optim.SGD, lr=0.1)), takes_groups(torch.optim.LBFGS), takes_groups(lambda p: p)
        (True, False, False)
    """
    made = make.func if isinstance(make, partial) else make
    return isinstance(made, type) and issubclass(made, torch.optim.Optimizer) and made is not torch.optim.LBFGS


def optimizer_of(
    make: Callable[..., torch.optim.Optimizer],
    model: nn.Module,
    num_classes: int,
    apart: Collection[str] = (),
    **options: Any,
) -> torch.optim.Optimizer:
    """Make an optimizer of the weights of a network that require a gradient.

    Args:
        make: a function from parameters to an optimizer; or a factory that :func:`grouped` returns.
        model: the network.
        num_classes: number of outputs of the classifier.
        apart: names of weights that form a separate parameter group after the others, for factories that take groups.
            That group is not fused, as torch's fused SGD fails for weights that get their first gradient later than
            others.
        **options: further settings of the optimizer.

    Example:
        >>> make = partial(torch.optim.SGD, lr=0.1)
        >>> [len(group["params"]) for group in optimizer_of(make, nn.Linear(2, 3), 3, ["bias"]).param_groups]
        [1, 1]
    """
    if takes_network(make):
        return make(model, num_classes, **options)
    trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    if not apart:
        return make([each for _, each in trained], **options)
    unfused = {"fused": False} if own_settings(make).get("fused") else {}
    others = {"params": [each for name, each in trained if name not in apart]}
    return make([others, {"params": [each for name, each in trained if name in apart], **unfused}], **options)


def with_groups(
    model: nn.Module,
    num_classes: int,
    make: Callable[..., torch.optim.Optimizer],
    backbone_factor: float = 1,
    layer_decay: float | None = None,
    decay_norms: bool = True,
    groups: Sequence[Mapping[str, Any]] = (),
    **options: Any,
) -> torch.optim.Optimizer:
    """Make an optimizer whose settings differ between parts of the network; frozen weights are left out.

    Args:
        model: the network.
        num_classes: number of outputs, by which the classifier is found.
        make: function from parameter groups to an optimizer, with the optimizer's settings.
        backbone_factor: factor of the learning rate of all weights except the classifier's, at least 0.
        layer_decay: factor, in (0, 1], by which the learning rate falls from each block to the one before it, starting
            with ``lr`` at the classifier. For networks of timm, which define their blocks; None keeps the rate.
        decay_norms: false applies no weight decay to normalization layers, biases and the weights that the network
            names in ``no_weight_decay()``, such as position embeddings.
        groups: dicts of optimizer settings for some weights, such as ``{"match": "^conv1", "lr": 1e-4}``: ``match`` is
            a regular expression that is searched for in the names of the weights (``re.search``). For each weight, the
            first group whose ``match`` is found applies, and replaces what the arguments above give.
        **options: further settings of the optimizer.

    Raises:
        InputError: naming the key of a value out of range, of a regular expression that cannot be read or that finds no
            weight, of a setting that the optimizer lacks, of a rate by part for an optimizer without ``lr``, or of
            ``layer_decay`` for a network without known blocks.

    Example:
        >>> from oponm.models import SmallCNN
        >>> make = partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.05)
        >>> made = with_groups(SmallCNN(10), 10, make, backbone_factor=0.1, decay_norms=False)
        >>> [(group["lr"], group["weight_decay"]) for group in made.param_groups]
        [(0.0001, 0.05), (0.0001, 0), (0.001, 0), (0.001, 0.05)]
    """
    factor = check_real("backbone_factor", backbone_factor, 0)
    scales = _layer_scales(model, 1 if layer_decay is None else check_real("layer_decay", layer_decay, 0, 1))
    expressions, spares = _expressions(groups), not check_flag("decay_norms", decay_norms)
    path, of_head = _head(model, num_classes, needed=factor != 1)
    plain = set(getattr(model, "no_weight_decay", set)())
    lr, unused = own_settings(make).get("lr"), [*expressions]
    found: dict[tuple[tuple[str, Any], ...], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        settings: dict[str, Any] = {}
        scale = 1 if id(parameter) in of_head else factor * scales.get(id(parameter), 1)
        if scale != 1:
            if lr is None:
                raise InputError("must be given where the learning rate differs by part", "lr")
            settings["lr"] = lr * scale
        if spares and (parameter.ndim <= 1 or name in plain):
            settings["weight_decay"] = 0
        if group := next((each for each in expressions if each[0].search(name)), None):
            unused = [each for each in unused if each is not group]
            settings |= group[1]
        found.setdefault(tuple(settings.items()), []).append((name, parameter))
    if unused and all(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"has match={unused[0][0].pattern!r}, which matches no weight; {_names(model)}", "groups")
    # The logged learning rate is the last group's: the classifier's.
    listed = sorted(found.items(), key=lambda item: any(name == f"{path}.weight" for name, _ in item[1]))
    made = make([{"params": [each for _, each in named], **dict(settings)} for settings, named in listed], **options)
    known = {*made.defaults, "params"}
    if wrong := sorted({key for group in made.param_groups for key in group} - known):
        raise InputError(f"has {wrong[0]!r}, no setting of {type(made).__name__}: {', '.join(made.defaults)}", "groups")
    return made


def _head(model: nn.Module, num_classes: int, needed: bool) -> tuple[str, set[int]]:
    """The name of the classifier and the identities of its weights; nothing where it is not found and not needed."""
    try:
        path, head = find_classifier(model, num_classes)
    except InputError:
        if needed:
            raise
        return "", set()
    return path, {id(parameter) for parameter in head.parameters()}


def _layer_scales(model: nn.Module, decay: float) -> dict[int, float]:
    """The factor of each weight's learning rate, by identity of the weight; nothing for a decay of 1."""
    if decay == 1:
        return {}
    if not hasattr(model, "group_matcher"):
        raise InputError(
            f"is for networks of timm, and {type(model).__name__} does not say what its blocks are: take one of timm, "
            "or set optimizer.backbone_factor",
            "layer_decay",
        )
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(model, layer_decay=decay)
    return {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}


def _expressions(groups: Any) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Each group's regular expression and its settings."""
    expressions = []
    for group in groups if isinstance(groups, (list, tuple)) else [groups]:
        if not isinstance(group, Mapping) or not isinstance(group.get("match"), str) or len(group) < 2:
            raise InputError(f"must be a list of groups such as {{match: ^conv1, lr: 1e-4}}, got {group!r}", "groups")
        try:
            expression = re.compile(group["match"])
        except re.error as error:
            raise InputError(f"has no regular expression in {group['match']!r} ({error})", "groups") from error
        expressions.append((expression, {key: value for key, value in group.items() if key != "match"}))
    return expressions


def _names(model: nn.Module) -> str:
    """Examples of the names of a network's weights."""
    names = [name for name, _ in model.named_parameters()]
    return f"weights are named {', '.join(names[:2])}, ..., {names[-1]}"
