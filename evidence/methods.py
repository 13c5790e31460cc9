"""What the study compares, in the order of its tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from oponm.report.published import FILE, published_lines

METHODS = {
    "erm": "ERM",
    "rs": "RS (class-balanced from the start)",
    "drs": "DRS",
    "drw": "DRW",
    "ldam_drw": "LDAM-DRW",
    "balanced_softmax": "balanced softmax from the start",
    "logit_adjustment_deferred": "logit adjustment, deferred",
    "open_dar_none": "OPeN, DAR-BN, `none`",
    "open_dar_input": "OPeN, DAR-BN, `input`",
    "open_dar_full": "OPeN, DAR-BN, `full`",
    "open_aux_none": "OPeN, auxiliary BN, `none`",
    "open_aux_input": "OPeN, auxiliary BN, `input`",
    "open_aux_full": "OPeN, auxiliary BN, `full`",
    "open_standard_none": "OPeN, plain BN, `none`",
    "open_standard_input": "OPeN, plain BN, `input`",
    "open_standard_full": "OPeN, plain BN, `full`",
    "open_balanced_softmax": "OPeN, balanced softmax in its phase",
    "drs_additive_noise": "DRS with additive noise",
    "open_noise_ignored": "OPeN, noise left out of the loss",
    "open_standard_ignored": "noise left out of the loss, plain BN",
    "open_uniform_labels": "OPeN, uniform labels of noise",
    "drs_classifier": "DRS for the classifier alone",
    "noise_classifier": "OPeN for the classifier alone",
}
SAID = {  # what the study's sweeps say for them; the others are choices of method
    "balanced_softmax": "method=erm loss=balanced_softmax",
    "drs_additive_noise": "method=open noise.mode=add",
    "open_noise_ignored": "method=open_noise_ignored norm=dar",
    "open_standard_ignored": "method=open_noise_ignored norm=standard",
    "open_uniform_labels": "method=open noise.labels=uniform",
    **{
        f"open_{kind}_{reading}": f"method=open norm={kind} norm.noise_grad={reading}"
        for kind in ("dar", "aux", "standard")
        for reading in ("none", "input", "full")
    },
}
COMMANDS = {frozenset(SAID.get(name, f"method={name}").split()): name for name in METHODS}
SCHEMES = {  # what the sweep open_on_top puts noise on
    "cross_entropy": "cross-entropy",
    "balanced_softmax": "balanced softmax",
    "label_aware_smoothing": "label-aware smoothing",
    "vector_scaling": "vector scaling (VS)",
    "cdt": "class-dependent temperatures (CDT)",
    "lade": "LADE",
    "equalization": "softmax equalization (SEQL)",
    "ldam": "LDAM, cosine classifier",
    "gcl": "Gaussian clouded logits, cosine classifier",
    "mixup": "mixup",
    "crt": "cRT",
    "lws": "LWS",
    "mislas": "MiSLAS",
    "gcl_two_stage": "GCL with mixup and a second stage",
}
TWO_STAGE = {"crt": "crt", "lws": "lws", "mislas": "mislas", "gcl_two_stage": "gcl"}  # with their choice of method
ARMS = {"": "erm", "+drs": "drs", "+open": "open"}  # of the others: what is added to the name, and the choice of method
ON_TOP = {
    frozenset([f"method={method}", "mixing=mixup" if scheme == "mixup" else f"loss={scheme}"]): scheme + added
    for scheme in SCHEMES
    if scheme not in TWO_STAGE
    for added, method in ARMS.items()
} | {
    frozenset([f"method={method}", f"+method.phases.2.noise={noise}"]): scheme + added
    for scheme, method in TWO_STAGE.items()
    for added, noise in (("", "False"), ("+open", "True"))
}
_COMPARED = ("method", "loss", "mixing", "norm", "noise")
BASELINE = "drs"
_PHOTOGRAPHS = {"figure": "accuracy", "data": "cifar10_lt", "data.imbalance_ratio": "100", "data.draw": "ldam"}
_PHOTOGRAPHS |= {"model": "resnet32", "augmentation": "flip_crop", "source": "reproduction"}
AUGMENTATIONS = ("none", "flip_crop", "cutout", "simclr")
KINDS = {"dar": "DAR-BN", "aux": "auxiliary BN", "standard": "plain BN"}
READINGS = ("none", "input", "full")
FIGURE = ("erm", "drs", "open_dar_none", "open_dar_full", "open_standard_full")  # lines of the figure by class


def published() -> dict[str, float]:
    """What the reproduction reports of the study of photographs at 200 epochs, in percent, of one run each, by method.

    Example:
        >>> found = published()
        >>> round(found["open_dar_none"] - found["drs"], 2)
        1.74
    """
    found = {}
    for line in published_lines(FILE):
        if _PHOTOGRAPHS.items() <= line.items():
            routed = f"open_{line['norm']}_{line['norm.noise_grad']}"
            found[routed if line["method"] == "open" else line["method"]] = float(line["value"])
    return found


def method_of(run: Mapping[str, Any]) -> str | None:
    """The method of the study that a run is of.

    Args:
        run: as of :func:`oponm.report.collect_runs`.

    Returns:
        Its name; None for a run that is none of the study's.

    Example:
        >>> said = ["seed=0", "norm=aux", "method=open", "norm.noise_grad=full", "sweep=study_digits"]
        >>> method_of({"choices": {}, "overrides": said})
        'open_aux_full'
        >>> method_of({"choices": {}, "overrides": ["loss=ldam", "method=open", "model.head=cosine"]})
        'ldam+open'
        >>> method_of({"choices": {}, "overrides": ["method=open", "noise=uniform"]})
    """
    folder, _, name = str(run["choices"].get("experiment") or "").rpartition("/")
    if folder == "study":  # as runs of earlier versions say it
        return name
    said = frozenset(one for one in run["overrides"] if re.split("[.=]", one.lstrip("+"))[0] in _COMPARED)
    return COMMANDS.get(said) or ON_TOP.get(said)
