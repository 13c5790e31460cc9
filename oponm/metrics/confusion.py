"""The confusion matrix, counted, stored and read as its nonzero entries, as most are 0."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from oponm.errors import check_int
from oponm.run_files import whole_file

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CONFUSION_FILE = "confusion_matrix.npz"


class Confusions(Metric):
    """Counts predictions of each class per true class, in memory of one number per image, for any number of classes.

    Args:
        num_classes: number of classes K.

    Raises:
        InputError: for fewer than one class.

    Example:
        >>> confusions = Confusions(2)
        >>> confusions.update(torch.tensor([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 1, 1]))
        >>> confusions.compute()
        tensor([[0, 0, 1],
                [1, 0, 2]])
    """

    full_state_update = False
    is_differentiable = False
    places: list[Tensor]

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = check_int("num_classes", num_classes, minimum=1)
        self.add_state("places", [], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Remove all counts."""
        super().reset()
        # For a process without images torchmetrics would send an empty floating-point tensor.
        self.places = [torch.zeros(0, dtype=torch.int64, device=self.device)]

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch to the counts.

        Args:
            logits: (N, K).
            targets: (N,), int64, below K.
        """
        self.places.append(targets * self.num_classes + logits.argmax(1))

    def compute(self) -> Tensor:
        """(M, 3), int64: true class, predicted class and count, for counts above 0; sorted."""
        places = self.places if isinstance(self.places, Tensor) else torch.cat(self.places)
        found, number = places.unique(return_counts=True)
        return torch.stack([found // self.num_classes, found % self.num_classes, number], 1)


def sparse_matrix(confusions: Tensor, num_classes: int) -> csr_array:
    """Make the confusion matrix from the counts of :class:`Confusions`.

    Args:
        confusions: counts, (M, 3), see :meth:`Confusions.compute`.
        num_classes: number of classes K.

    Returns:
        (K, K), int64; row i, column j: images of class i that were predicted as class j.

    Example:
        >>> sparse_matrix(torch.tensor([[0, 0, 1], [1, 0, 2]]), 2).toarray()
        array([[1, 0],
               [2, 0]])
    """
    from scipy.sparse import csr_array

    true, taken, number = confusions.cpu().numpy().T
    return csr_array((number, (true, taken)), shape=(num_classes, num_classes))


def write_confusion(folder: Path, matrix: csr_array | None) -> str | None:
    """Write a confusion matrix beside ``result.json``, whole or not at all; ``scipy.sparse.load_npz`` reads it.

    Args:
        folder: folder of the result; must exist.
        matrix: (K, K); None writes nothing, and removes an earlier one.

    Returns:
        The value for ``result.json``: the name of the file, or None.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> said = write_confusion(folder, sparse_matrix(torch.tensor([[0, 1, 5]]), 2))
        >>> said, read_confusion(folder, said).toarray().tolist()
        ('confusion_matrix.npz', [[0, 5], [0, 0]])
    """
    from scipy.sparse import save_npz

    path = folder / CONFUSION_FILE
    if matrix is None:
        path.unlink(missing_ok=True)
        return None
    with whole_file(path) as file:
        save_npz(file, matrix)
    return path.name


def read_confusion(folder: Path, said: Any) -> csr_array | None:
    """Read the confusion matrix of a result; no code in the file is executed.

    Args:
        folder: folder of the result.
        said: the value of ``confusion_matrix`` in ``result.json``: the name of the file, None if the result has no
            matrix, or the matrix itself as a list of rows, as older versions wrote it.

    Returns:
        (K, K), as :func:`sparse_matrix` returns it; None if ``said`` is None.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the file holds no confusion matrix, or ``said`` has another form.

    Example:
        >>> int(read_confusion(Path(), [[3, 1], [0, 4]]).trace())
        7
    """
    from scipy.sparse import csr_array, load_npz

    if said is None:
        return None
    if isinstance(said, str) and said != CONFUSION_FILE:
        raise ValueError(f"must name {CONFUSION_FILE}, got {said!r}")
    try:
        matrix = csr_array(load_npz(folder / said) if isinstance(said, str) else np.array([*said]))
    except OSError:
        raise
    except Exception as error:  # a damaged file can raise anything in zipfile, numpy and scipy
        raise ValueError(f"holds no confusion matrix ({type(error).__name__}: {error})") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "iuf":
        raise ValueError(f"holds no confusion matrix, but {matrix.dtype} of {matrix.shape}")
    if not np.all(np.isfinite(matrix.data) & (matrix.data >= 0)):
        raise ValueError("holds no confusion matrix, but numbers that are negative or not finite")
    return matrix
