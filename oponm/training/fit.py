"""A training run from code: what ``oponm train`` does, with objects or the names of its choices."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import CSVLogger, Logger
from torch import nn

from oponm.data import LongTailDataModule
from oponm.data.datasets import as_data_module
from oponm.data.mixers import MixerFactory
from oponm.errors import InputError, check_choice, check_int, check_path
from oponm.launched import launched_elsewhere, restarted
from oponm.run_files import CONFIG_FILE, left_of_start
from oponm.training.assemble import assemble
from oponm.training.fit_processes import fit_in_processes
from oponm.training.job import carry_out
from oponm.training.joined import check_number, join_for_good
from oponm.training.callbacks.nonfinite import REACTIONS
from oponm.training.phase_cache import PhaseCache
from oponm.training.phases import Phase
from oponm.training.processes import first_says, rank, world_size
from oponm.training.quiet import quiet
from oponm.training.recipe import Recipe, make_recipe
from oponm.training.run_folder import code_of_run, finish, finished_result, require_same_input
from oponm.training.runs import Run


def fit(
    data: LongTailDataModule | str | PathLike[str] | Any,
    model: str | nn.Module | Callable[..., nn.Module] = "small_cnn",
    method: str | Sequence[Phase] = "open",
    *,
    max_epochs: int = 200,
    seed: int | None = None,
    noise: str | MixerFactory | None = None,
    norm: str = "dar",
    noise_grad: str | None = None,
    optimizer: str | Callable[..., torch.optim.Optimizer] = "sgd",
    schedule: str | Callable[..., Callable[[int], float]] | None = None,
    loss: str | Callable[[Sequence[int]], nn.Module] | None = None,
    head: str | None = None,
    weights: str | PathLike[str] | None = None,
    classifier: str | None = None,
    tau: float | None = None,
    shots: Mapping[str, int] | None = None,
    output_dir: str | PathLike[str] | None = None,
    resume: bool = False,
    phase_cache: PhaseCache | str | PathLike[str] | None = None,
    loggers: Logger | Sequence[Logger] | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    num_nodes: int = 1,
    max_restarts: int = 0,
    precision: str = "32-true",
    channels_last: bool = False,
    compile: bool = False,
    split_noise: bool | str = "auto",
    confusion_matrix: bool | str = "auto",
    sync_batchnorm: bool = False,
    num_threads: int | None = None,
    checkpoint_every: timedelta = timedelta(minutes=5),
    checkpoint_every_n_steps: int | None = None,
    on_nonfinite: str = "stop",
) -> Run:
    """Train a network on long-tailed data by a method, evaluate it on the test set, and keep the run.

    What is not given is what ``oponm train`` takes for the same data, and the weights come out the same to the bit.
    Where a name is taken it is that of a choice of the command line (``oponm --help`` lists them).

    A sweep is a loop over calls: with one ``phase_cache`` each phase that runs share is trained once, and
    :func:`oponm.report.read_report` takes the runs.

    With ``devices=4`` it starts four processes, which import the script that calls it (so the call stands below
    ``if __name__ == "__main__":``), trains in them and returns the run. In a script that ``torchrun`` or ``srun`` has
    started in as many processes each of them calls it, the first one writes, and all return the run.

    Args:
        data: the data module, with its augmentation, mixing and noise. It stays as it is, and serves many runs. Or a
            folder of images, see :class:`~oponm.data.ImageFolderLT`; or a dataset of torch or torchvision, see
            :class:`~oponm.data.DatasetLT`.
        model: a name, ``"timm/..."`` and ``"torchvision/..."`` for their networks;
            or what makes the network when called with ``num_classes`` and ``in_channels``; or a network,
            which is trained in place.
        method: a name, or the phases of a method of one's own.
        max_epochs: length of the run; phases and schedule scale with it.
        seed: order of images, augmentation, noise, dropout and initial weights; None is the data module's.
        noise: a name, or what makes the mixer, see :func:`~oponm.data.mixers.make_mixer`; None is the data module's.
        norm: ``"dar"``, ``"aux"`` or ``"standard"``, see :func:`~oponm.nn.convert_batchnorm`.
        noise_grad: how far gradients of noise rows reach; None is ``"none"`` for DAR-BN, else ``"full"``.
        optimizer: a name, or what makes it from the parameters.
        schedule: a name, or what makes the factor of the learning rate by epoch from ``max_epochs``; None is what the
            command takes for the data: ``"step"`` for the digits, else ``"paper"``.
        loss: a name, or what makes the loss from the class counts; None is the method's.
        head: ``"linear"`` or ``"cosine"``; None is the method's.
        weights: a file of initial weights.
        classifier: the name of the layer that gives the logits, as the network's ``named_modules`` has it; None finds
            it by a forward pass.
        tau: of :class:`~oponm.training.PhasePlan`, for the classifier's weights at the end; None is the method's.
        shots: thresholds of :func:`~oponm.longtail.shot_groups`.
        output_dir: the run's folder, empty or new; None makes a temporary one, kept until the program ends.
        resume: go on with the run that was begun in ``output_dir``, if there is one; one that is done is read.
        phase_cache: a folder of phases that runs share, see :class:`~oponm.training.PhaseCache`; None does without.
        loggers: Lightning's, one or several; None writes ``metrics.csv`` into the folder.
        accelerator: ``"auto"``, ``"cpu"``, ``"gpu"`` or ``"mps"``.
        devices: processes on each machine, each with a device of its own and a part of each batch.
        num_nodes: machines; the script is launched on each.
        max_restarts: how often the processes that it starts are started anew if one dies, to go on from the last
            checkpoint. Those of a launcher are the launcher's.
        precision: of Lightning's trainer.
        channels_last: see :class:`~oponm.training.LongTailModule`, as the next two.
        compile: see there.
        split_noise: see there; true where it cannot be done is an error.
        confusion_matrix: whether the test set's is counted, see :attr:`Run.confusion_matrix`; ``"auto"`` counts it for
            1,000 classes at most.
        sync_batchnorm: see :func:`~oponm.training.make_trainer`.
        num_threads: of the CPU, meanwhile; sums, and so results in the last digits, depend on it. None is what the
            command takes for the data: 1 for the digits, else torch's.
        checkpoint_every: time between two checkpoints.
        checkpoint_every_n_steps: steps between two checkpoints, beside that.
        on_nonfinite: what a loss that is not finite does, see :func:`~oponm.training.train`.

    Returns:
        The finished run.

    Raises:
        InputError: naming what cannot be used; nothing is written then. A loss that diverges, later on.
        Stopped: at SIGINT, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2, after the step; ``resume=True`` goes on from there.
        ChildProcessError: if one of the processes that it started died.

    Example:
        >>> from oponm.data import DigitsLT
        >>> run = fit(DigitsLT(imbalance_ratio=50), method="open", max_epochs=2)
        >>> run.result["class_counts"]
        [128, 82, 53, 34, 22, 14, 9, 6, 3, 2]
        >>> [phase["name"] for phase in run.result["phases"]]
        ['instance', 'class_balanced+noise']
        >>> run.network(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """
    data, loggers = as_data_module(data), _listed(loggers)
    arguments = dict(locals())
    started = time.perf_counter()
    check_int("max_restarts", max_restarts, minimum=0)
    count, machines = check_int("devices", devices, minimum=1), check_int("num_nodes", num_nodes, minimum=1)
    if launched_elsewhere():
        join_for_good()
        check_number(count, machines)
    elif machines > 1:
        raise InputError(
            f"of {machines} needs one process a device on each: launch the script by torchrun", "num_nodes"
        )
    seed = check_int("seed", data.seed if seed is None else seed, minimum=0)
    chosen: dict[str, Any] = {"model": model, "method": method, "noise": noise, "norm": norm}
    chosen |= {"optimizer": optimizer, "schedule": schedule, "loss": loss}
    trainer: dict[str, Any] = {
        "max_epochs": max_epochs,
        "accelerator": accelerator,
        "devices": devices,
        "num_nodes": num_nodes,
        "max_restarts": max_restarts,
        "precision": precision,
        "channels_last": channels_last,
        "compile": compile,
        "split_noise": split_noise,
        "confusion_matrix": confusion_matrix,
        "sync_batchnorm": sync_batchnorm,
        "num_threads": num_threads,
        "checkpoint_every_minutes": checkpoint_every.total_seconds() / 60,
        "checkpoint_every_n_steps": checkpoint_every_n_steps,
        "on_nonfinite": check_choice("on_nonfinite", on_nonfinite, REACTIONS),
    }
    of_network = {"head": head, "weights": weights, "classifier": classifier}
    own: dict[str, Mapping[str, Any]] = {"trainer": trainer, "model": of_network}
    own |= {"method": {"tau": tau}, "norm": {"noise_grad": noise_grad}, "shots": shots or {}}
    recipe = make_recipe(data, chosen, seed, own)
    folder, temporary, begun, finished = _agreed(lambda: _begin_in(output_dir, resume or restarted(), recipe, data))
    try:
        with quiet(), _threads(recipe.settings["trainer"]["num_threads"]):
            if not finished and count > world_size():
                fit_in_processes(fit, {**arguments, "output_dir": folder, "resume": begun}, count, max_restarts)
            elif not finished:
                options: dict[str, Any] = {
                    name: trainer[name] for name in ("accelerator", "precision", "sync_batchnorm")
                }
                options |= {"checkpoint_every": checkpoint_every, "checkpoint_every_n_steps": checkpoint_every_n_steps}
                measured = _train(data, recipe, folder, loggers, begun, _cache(phase_cache), options)
                if rank() == 0:
                    identity = {"choices": recipe.choices, "overrides": recipe.overrides, "seed": seed}
                    finish(folder, {**identity, "started_from": "oponm.training.fit"}, measured, started, {})
                first_says(None)  # so that no other process looks for the result before it is there
            run = Run.load(folder, network=recipe.given.get("model"), data=data)
    except BaseException:
        if temporary:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return run


def _listed(loggers: Any) -> list[Logger] | None:
    """One logger or several as a list."""
    listed = [loggers] if isinstance(loggers, Logger) else loggers
    if listed is None or (isinstance(listed, Sequence) and all(isinstance(each, Logger) for each in listed)):
        return None if listed is None else list(listed)
    raise InputError(f"must be Lightning's, one or a list of them, got {loggers!r}", "loggers")


def _begin_in(
    output_dir: str | PathLike[str] | None, resume: bool, recipe: Recipe, data: LongTailDataModule
) -> tuple[Path, bool, bool, bool]:
    """The folder of a run, and whether it is temporary, holds a run to go on with, and holds one that is done."""
    folder, temporary = _folder(output_dir, resume)
    begun = resume and (folder / CONFIG_FILE).is_file()
    finished = finished_result(folder, recipe.settings) if begun else None
    if finished:
        data.setup()
        require_same_input(folder, finished, data, code_of_run(recipe.settings, type(data)))
    return folder, temporary, begun, finished is not None


def _agreed(look: Callable[[], Any]) -> Any:
    """What the first process finds, in all of them: files that it is about to write must not mislead the others."""
    found: Any = None
    if rank() == 0:
        try:
            found = look()
        except InputError as error:
            found = error
    found = first_says(found)
    if isinstance(found, InputError):
        raise found
    return found


def _train(
    data: LongTailDataModule,
    recipe: Recipe,
    folder: Path,
    loggers: Sequence[Logger] | None,
    begun: bool,
    phase_cache: PhaseCache | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    settings, plan = recipe.settings, recipe.plan()
    schedule = recipe.part("schedule")(max_epochs=plan.max_epochs)
    data = data.for_run(settings["seed"], recipe.part("noise"))
    module = assemble(
        data,
        recipe.network(len(data.class_names), data.image_shape),
        plan,
        recipe.part("optimizer"),
        schedule,
        recipe.part("loss"),
        settings["norm"],
        settings["seed"],
        settings["shots"],
        channels_last=settings["trainer"]["channels_last"],
        compile=settings["trainer"]["compile"],
        split_noise=settings["trainer"]["split_noise"],
        confusion_matrix=settings["trainer"]["confusion_matrix"],
        **{name: options[name] for name in ("accelerator", "precision", "sync_batchnorm")},
    )
    module.model_config = recipe.model_config
    writers: list[Logger] = [CSVLogger(folder, name="", version="")] if loggers is None else list(loggers)
    config = {**settings, "output_dir": str(folder)}
    writers = writers if rank() == 0 else []
    return carry_out(module, data, plan, folder, writers, config, recipe.overrides, begun, phase_cache, **options)


def _folder(output_dir: str | PathLike[str] | None, resume: bool) -> tuple[Path, bool]:
    """The folder of a run, and whether it is temporary."""
    if output_dir is None:
        if resume and not restarted():
            raise InputError("must name the folder of the run to go on with", "output_dir")
        folder = Path(tempfile.mkdtemp(prefix="oponm-run-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return folder, True
    folder = check_path("output_dir", output_dir)
    others = [path.name for path in folder.iterdir() if not left_of_start(path.name)] if folder.is_dir() else []
    if others and not (resume and (folder / CONFIG_FILE).is_file()):
        raise InputError(f"{folder} holds {others[0]}: choose an empty or new folder, or resume=True", "output_dir")
    return folder, False


def _cache(phase_cache: PhaseCache | str | PathLike[str] | None) -> PhaseCache | None:
    if phase_cache is None or isinstance(phase_cache, PhaseCache):
        return phase_cache
    return PhaseCache(check_path("phase_cache", phase_cache))


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before if number is None else check_int("num_threads", number, minimum=1))
    try:
        yield
    finally:
        torch.set_num_threads(before)
