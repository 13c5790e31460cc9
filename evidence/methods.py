"""What the study compares, in the order of its tables."""

from __future__ import annotations

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
BASELINE = "drs"
AUGMENTATIONS = ("none", "flip_crop", "cutout", "simclr")
KINDS = {"dar": "DAR-BN", "aux": "auxiliary BN", "standard": "plain BN"}
READINGS = ("none", "input", "full")
FIGURE = ("erm", "drs", "open_dar_none", "open_dar_full", "open_standard_full")  # lines of the figure by class
README = ("erm", "drs", "open_dar_none", "open_dar_input", "open_dar_full", "open_aux_full", "open_standard_full")
