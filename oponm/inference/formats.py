"""Export formats: each file is written, read back by its runtime, and compared."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from oponm.errors import InputError

TOLERANCE = 1e-4  # relative to the largest logit, or to 1 if all are smaller
_BATCHES = (1, 3)
Run = Callable[[Tensor], Tensor]


class Format(NamedTuple):
    """An export format.

    Attributes:
        extension: extension of its file.
        write: takes the network in evaluation mode, example images, the labels and a path; writes the file and returns
            a function that runs it.
        is_graph: whether the file holds the computation, not only weights.
    """

    extension: str
    write: Callable[[nn.Module, Tensor, list[str], Path], Run]
    is_graph: bool = True


def _state_dict(network: nn.Module, images: Tensor, labels: list[str], path: Path) -> Run:
    torch.save(network.state_dict(), path)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


class _Checked(nn.Module):
    """A traced network that refuses inputs of another shape or type; the other formats do so themselves."""

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.network, self.shape, self.dtype = network, list(images.shape[1:]), images.dtype

    def forward(self, images: Tensor) -> Tensor:
        if list(images.shape[1:]) != self.shape or images.dtype != self.dtype:
            kind = "uint8" if self.dtype == torch.uint8 else "float32"
            raise ValueError(f"images must be {kind}, of shape (N, {self.shape}), got {list(images.shape)}")
        logits: Tensor = self.network(images)
        return logits


def _torchscript(network: nn.Module, images: Tensor, labels: list[str], path: Path) -> Run:
    traced = torch.jit.trace(network, images, check_trace=False)  # it is compared below, with other images
    checked = torch.jit.script(_Checked(traced, images))
    torch.jit.save(checked, str(path), _extra_files={"labels.json": json.dumps(labels)})
    return torch.jit.load(str(path))


def _torch_export(network: nn.Module, images: Tensor, labels: list[str], path: Path) -> Run:
    torch.export.save(_program(network, images), path, extra_files={"labels.json": json.dumps(labels)})
    return torch.export.load(path).module()


def _onnx(network: nn.Module, images: Tensor, labels: list[str], path: Path) -> Run:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        message = f'is onnx, which needs {error.name}: pip install "oponm[export]", or choose another format'
        raise InputError(message, "format") from error
    options: dict[str, Any] = {"dynamic_shapes": _dynamic(), "dynamo": True, "verbose": False}
    exported = _program(network, images)
    program = torch.onnx.export(exported, (images,), input_names=["images"], output_names=["logits"], **options)
    assert program is not None  # as it is with dynamo=True
    program.model.metadata_props["labels"] = json.dumps(labels)
    program.save(path)
    return _open_onnx(path)


def _open_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])


def _program(network: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(network, (images,), dynamic_shapes=_dynamic())


def _dynamic() -> tuple[dict[int, object]]:
    return ({0: torch.export.Dim("batch")},)


FORMATS = {
    "state_dict": Format(".pt", _state_dict, is_graph=False),
    "torchscript": Format(".torchscript.pt", _torchscript),
    "torch_export": Format(".pt2", _torch_export),
    "onnx": Format(".onnx", _onnx),
}


def write_format(
    name: str, network: nn.Module, shape: tuple[int, ...], takes: str, labels: list[str], path: Path
) -> None:
    """Write a network, read it back, and compare both on random images, in batches of 1 and of 3.

    Args:
        name: one of :data:`FORMATS`.
        network: the network in evaluation mode, on the CPU, which maps (N, *shape) to (N, K).
        shape: shape of an image, (C, H, W).
        takes: kind of input, see :class:`~oponm.inference.DeployedNetwork`.
        labels: K class names, which graphs contain.
        path: the file, which must not exist yet.

    Raises:
        InputError: if the network cannot be written in this format, if the written file gives other logits (by more
            than 1e-4 of the largest), or if ONNX is not installed.
    """
    generator = torch.Generator().manual_seed(0)
    try:
        with _quiet(), torch.no_grad():
            run = FORMATS[name].write(network, _random_images((2, *shape), takes, generator), labels, path)
            _compare(run, network, shape, takes, generator)
    except (InputError, OSError):  # OSError: the disk is full or gone, no fault of the format
        raise
    except Exception as error:  # a compiler can raise anything for a network
        if "failed writing file" in str(error):  # torch's RuntimeError
            reason = f"{path.name} could not be written, probably as the disk is full: free some space"
            raise InputError(reason, "output") from error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        others = ", ".join(other for other in FORMATS if other != name)
        raise InputError(f"{name} cannot hold this network ({reason}): choose {others}", "format") from error


def check_in_place(network: nn.Module, shape: tuple[int, ...], takes: str, path: Path) -> None:
    """Load a file and its data file (``model.onnx.data``), if it has one, from their final place, and compare again.

    Args:
        network: the network that was written.
        shape: shape of an image, (C, H, W).
        takes: how pixels are given: ``"unit"``, ``"uint8"`` or ``"normalized"``.
        path: the file in its final place.

    Raises:
        InputError: if the file cannot be opened, or gives other logits.
    """
    if not path.with_name(f"{path.name}.data").is_file():
        return
    try:
        with torch.no_grad():
            _compare(_open_onnx(path), network, shape, takes, torch.Generator().manual_seed(1))
    except InputError:
        raise
    except Exception as error:  # an error of onnxruntime, or a truncated file
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{path} cannot be read from its place ({reason}): export it again", "output") from error


def _compare(run: Run, network: nn.Module, shape: tuple[int, ...], takes: str, generator: torch.Generator) -> None:
    for size in _BATCHES:
        images = _random_images((size, *shape), takes, generator)
        expected, found = network(images), run(images)
        apart = float((expected - found).abs().max())
        if not apart <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise InputError(
                f"changes the network's logits by up to {apart:.1e}: choose another format for this network", "format"
            )


def _random_images(shape: tuple[int, ...], takes: str, generator: torch.Generator) -> Tensor:
    if takes == "uint8":
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return torch.rand(shape, generator=generator)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep compilers' messages for their developers off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
