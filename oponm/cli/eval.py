"""``oponm eval``: evaluates a checkpoint on the test set, another part of the run's data, or a folder of images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from oponm.cli.hydra_app import launch
from oponm.cli.recorded import Recorded, read_recorded
from oponm.configs import plain
from oponm.data import LongTailDataModule
from oponm.errors import InputError, check_choice, check_flag
from oponm.run_files import RESULT_FILE, checkpoint_of, write_json

if TYPE_CHECKING:
    from oponm.training import LongTailModule

_OWN = ("split", "folder", "trust", "prior", "trained_prior", "threshold")  # settings that training does not have


def run(arguments: list[str]) -> None:
    """Compose the config of the checkpoint's run with ``arguments`` on top, and evaluate."""
    for place, (key, _, path) in enumerate(argument.partition("=") for argument in arguments):
        if key == "checkpoint" and path:
            arguments[place] = f"checkpoint={checkpoint_of(Path(path).expanduser())}"
    recorded = _run_of_checkpoint(arguments)
    keys = {argument.partition("=")[0].partition(".")[0] for argument in arguments}
    if not recorded.config and "folder" in keys and "shots" not in keys:
        arguments.append("shots=thirds")  # as for all of one's own files
    launch("eval", arguments, partial(_evaluate, recorded=recorded), recorded)


def _run_of_checkpoint(arguments: list[str]) -> Recorded:
    """The recorded config of the run that wrote the checkpoint, without its output folder."""
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("checkpoint=")]
    if not given:
        return Recorded()
    recorded = read_recorded(Path(given[-1]).expanduser().parent.parent, "checkpoint")
    own = ("output_dir", "resume", "logger", *_OWN)
    kept = {key: value for key, value in recorded.config.items() if key not in own}
    return Recorded(kept, recorded.overrides, recorded.choices)


def _evaluate(config: DictConfig, recorded: Recorded) -> None:
    from oponm.cli.summary import print_summary
    from oponm.cli.trusted import check_targets
    from oponm.cli.wandb_defaults import fill_in_wandb
    from oponm.inference.prior import adjusted, read_threshold
    from oponm.inference.split import SPLITS
    from oponm.logging import Dashboard
    from oponm.metrics import write_confusion, write_predictions
    from oponm.training import evaluate
    from oponm.training.loggers import open_loggers
    from oponm.training.options import trainer_options
    from oponm.training.quiet import quiet
    from oponm.training.resolve import resolve
    from oponm.training.result import environment
    from oponm.training.run import own_folder
    from oponm.training.run_folder import begin

    if config.output_dir:
        config.output_dir = HydraConfig.get().runtime.output_dir
    with quiet(), own_folder(config.output_dir, config.get("resume")) as (folder, _):
        check_choice("split", config.split, SPLITS)
        if not check_flag("trust", config.trust):
            check_targets(config)
        resolve(config)
        identity = {**recorded.identify(), "seed": config.seed}
        if config.folder is None:
            module, data, trained = _of_run(config)
        else:
            module, data, trained = _of_folder(config)
            identity["choices"]["data"] = str(config.folder)
        names, counts = data.class_names, module.class_counts
        module.model = adjusted(module.model, plain(config.prior), names, counts, trained, plain(config.trained_prior))
        module.threshold = read_threshold(plain(config.threshold), names, counts)
        fill_in_wandb(config, identity["choices"], folder, None, job_type="eval")
        with open_loggers(config.logger) as loggers:
            measured = evaluate(module, data, loggers, **trainer_options(config.trainer, config.output_dir))
            Dashboard().on_evaluation_end(loggers, measured)
        # Not before, as a file that cannot be read is met on the way.
        begin(folder, config, identity["overrides"], identity["choices"])
        write_predictions(folder, module.predicted)
        result = {
            **identity,
            **measured,
            "confusion_matrix": write_confusion(folder, measured["confusion_matrix"]),
            "checkpoint": str(Path(str(config.checkpoint)).resolve()),
            "evaluated": config.split if config.folder is None else str(Path(config.folder).resolve()),
            **{key: plain(config[key]) for key in ("prior", "threshold") if config[key] is not None},
            "skipped_files": data.skipped,
            **environment(),
        }
        write_json(folder / RESULT_FILE, result)
        print_summary(result, folder)


def _of_run(config: DictConfig) -> tuple[LongTailModule, LongTailDataModule, list[float] | None]:
    """The network with the checkpoint's weights, the requested part of the data, and the network's class prior."""
    from oponm.data.statistics import Statistics
    from oponm.inference import serve_split
    from oponm.known_settings import check_settings
    from oponm.training.build import build, full_keys
    from oponm.training.weights import check_split, load_weights

    known = _preprocessing(config)
    of_run = OmegaConf.masked_copy(config, [str(key) for key in config if key not in _OWN])
    check_settings(of_run)
    module, data, _ = build(of_run)
    with full_keys(config):
        trained_on = load_weights(module.model, Path(str(config.checkpoint)))
    serve_split(data, config.split)
    check_split(trained_on, data, config.split)
    if "statistics" in known:
        data.normalize_as(Statistics(*(tuple(known["statistics"][name]) for name in ("mean", "std"))))
        module.class_counts = data.class_counts = list(known["class_counts"])  # which define many- and few-shot classes
    return module, data, known.get("prior")


def _preprocessing(config: DictConfig) -> dict[str, Any]:
    """The description of the data in the checkpoint; values that the run found on its images are reused."""
    from oponm.models.weights import read_weights

    known = dict(read_weights(Path(str(config.checkpoint)), "checkpoint")[1].get("split", {}))
    found = {"image_size": known.get("image_shape", [None])[1:] or None, "pixel_max": known.get("pixel_max")}
    for key, value in found.items():
        if key in config.data and config.data[key] is None:
            config.data[key] = value
    return known


def _of_folder(config: DictConfig) -> tuple[LongTailModule, LongTailDataModule, list[float] | None]:
    """The network that the checkpoint describes, a folder of images, and the network's class prior."""
    from oponm.cli.trusted import network_factory
    from oponm.inference import EvaluationFolder, load_classifier
    from oponm.training import LongTailModule

    if config.split != "test":
        raise InputError(
            f"is {config.split}, a part of the run's data, and does not go with folder: leave out split or folder",
            "split",
        )
    classifier = load_classifier(Path(str(config.checkpoint)), network_factory(config.trust))
    on_error = config.data.get("on_error", "raise")
    data = EvaluationFolder(str(config.folder), classifier, config.data.batch_size, on_error, config.seed)
    shots = OmegaConf.to_container(config.shots, resolve=True)
    options: dict[str, Any] = {"shots": shots, "confusion_matrix": config.trainer.confusion_matrix}
    module = LongTailModule(classifier.network, class_counts=classifier.class_counts, seed=config.seed, **options)
    return module, cast(LongTailDataModule, data), classifier.prior  # it has all attributes that an evaluation uses
