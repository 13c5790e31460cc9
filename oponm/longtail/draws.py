"""Draws the images of each class that a long-tailed subset keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oponm.errors import InputError, check_int
from oponm.longtail.members import class_members

DRAWS = ("ldam", "m2m", "random")


def draw_indices(
    labels: npt.ArrayLike, counts: Sequence[int], draw: str = "ldam", seed: int = 0
) -> npt.NDArray[np.int64]:
    """Draw the dataset indices of a long-tailed subset, class by class.

    Published subsets of the same counts differ in the draw. The draw alone can change accuracy by three percentage
    points: report it with your results.

    * ``"ldam"``: the legacy NumPy generator, seeded once; for each class in order that class's indices are shuffled in
      place and the first ``n_i`` kept. ``seed=0`` is the published subset.
    * ``"m2m"``: the first ``n_i`` images of each class in dataset order; ``seed`` is not used.
    * ``"random"``: a random ``n_i`` of each class by ``seed``; subsets of one seed are nested as counts grow.

    Args:
        labels: class labels of the full set in dataset order, shape (N,), in ``[0, C)``.
        counts: images to keep of each class, length C.
        draw: ``"ldam"``, ``"m2m"`` or ``"random"``, as above.
        seed: seed of the draw, at least 0.

    Returns:
        ``sum(counts)`` indices into ``labels``, int64, class by class.

    Raises:
        InputError: for an unknown draw, or a class with fewer images than its count.

    References:
        ldam: Cao et al., NeurIPS 2019. m2m: Kim et al., "M2m: Imbalanced Classification via Major-to-minor
        Translation", CVPR 2020.

    Example:
        >>> draw_indices([0, 1, 0, 1, 0], [2, 1], draw="m2m")
        array([0, 2, 1])
    """
    if draw not in DRAWS:
        raise InputError(f"must be one of {', '.join(DRAWS)}, or a file of indices, got {draw!r}", "draw")
    if check_int("draw_seed", seed, minimum=0) >= 2**32:
        raise InputError(f"must be below 2**32, got {seed}", "draw_seed")
    # NumPy's legacy generator: the published subsets were drawn by it, and its stream never changes.
    legacy = np.random.RandomState(seed)
    chosen = []
    for label, (count, members) in enumerate(zip(counts, class_members(labels, len(counts)), strict=True)):
        check_int("counts", count, minimum=0)
        if count > len(members):
            raise InputError(f"class {label} has {len(members)} images, {count} are asked for: lower n_max")
        if draw == "ldam":
            legacy.shuffle(members)
        elif draw == "random":
            np.random.RandomState([seed, label]).shuffle(members)
        chosen.append(members[:count])
    return np.concatenate(chosen).astype(np.int64, copy=False)


def read_indices(path: str | Path, num_images: int) -> npt.NDArray[np.int64]:
    r"""Read a subset from a file of indices: text with one index per line, or a ``.npy`` array.

    Args:
        path: the file.
        num_images: size of the full set; an index lies in ``[0, num_images)``.

    Returns:
        The indices in file order, int64.

    Raises:
        InputError: for a missing file, one that is no list of whole numbers, or a repeated or invalid index.

    Example:
        >>> import tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "subset.txt")
        >>> _ = file.write_text("4\n0\n2\n")
        >>> read_indices(file, num_images=5)
        array([4, 0, 2])
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"names no file: {path} (a draw is one of {', '.join(DRAWS)}, or a file of indices)", "draw")
    try:
        if path.suffix == ".npy":
            indices = np.load(path, allow_pickle=False)
        else:
            indices = np.array([int(line) for line in path.read_text().split()])
        if indices.size == 0 or not np.issubdtype(indices.dtype, np.integer) or indices.ndim != 1:
            raise ValueError(f"shape {indices.shape}, dtype {indices.dtype}")
    except Exception as error:  # a damaged file can raise anything in NumPy
        raise InputError(f"{path}: not a list of whole numbers, one per line ({error})") from error
    if indices.min() < 0 or indices.max() >= num_images:
        raise InputError(f"{path}: index {indices.max()} or {indices.min()} lies outside [0, {num_images})")
    if len(np.unique(indices)) != len(indices):
        raise InputError(f"{path}: an index is in it twice; list each image once")
    return indices.astype(np.int64)
