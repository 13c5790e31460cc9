"""Settings that nobody reads are refused, before anything that takes time is imported."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from oponm.cli.nearest import did_you_mean
from oponm.errors import InputError

# Where a key that nobody reads would go unnoticed; what is under the others is passed on by name, and refused there.
_KNOWN = {
    "trainer": {"max_epochs", "accelerator", "num_threads", "precision"}
    | {"channels_last", "compile", "split_noise", "sync_batchnorm", "confusion_matrix"}
    | {"checkpoint_every_minutes", "checkpoint_every_n_steps", "devices", "num_nodes", "max_restarts", "on_nonfinite"},
    "method": {"phases", "tau"},
    "shots": {"many_over", "few_under"},
    "": {"seed", "output_dir", "checkpoint", "optimizer", "schedule", "data", "model", "augmentation", "noise", "norm"}
    | {"logger", "trainer", "method", "shots", "loss", "mixing", "phase_cache", "published", "resume"}
    | {"optimized_metric"}
    | {"published_leads", "published_fifths", "published_note"},
}


def refuse_unknown_keys(config: DictConfig) -> None:
    """Look through the groups whose settings are picked out one by one.

    Raises:
        InputError: for a key that is no setting, by its full name.
    """
    for group, known in _KNOWN.items():
        node = config[group] if group else config
        if not OmegaConf.is_dict(node):
            raise InputError(f"must be a group of settings, got {node!r}", group)
        unknown = [str(key) for key in node if key not in known]
        if unknown:
            path = f"{group}.{unknown[0]}" if group else unknown[0]
            meant = did_you_mean(path)
            raise InputError(f"is no setting{meant or '; '}{meant and ' '}'oponm train --cfg job' lists them", path)
