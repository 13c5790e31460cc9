"""Collects the predictions for the images of a test set, and writes them to ``test_predictions.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from oponm.run_files import PREDICTIONS_FILE, whole_csv

MOST_WRITTEN = 1000  # classes; of more, the likeliest are kept
LIKELIEST = 5
DIGITS = 6


class Answers(NamedTuple):
    """A network's predictions for N images, with their true classes.

    Attributes:
        targets: labels of the true classes, (N,).
        predicted: labels of the predicted classes, (N,).
        probabilities: (N, K), of each class; for more than 1,000 classes (N, 5), of each image's five likeliest.
        classes: labels of the five likeliest classes of each image, (N, 5); (N, 0) for at most 1,000 classes.
    """

    targets: Tensor
    predicted: Tensor
    probabilities: Tensor
    classes: Tensor

    @classmethod
    def of(cls, logits: Tensor, targets: Tensor, decided: Tensor | None = None) -> Answers:
        """Make the predictions of a batch from its logits, in the CPU's memory.

        Args:
            logits: (N, K).
            targets: labels of the true classes, (N,).
            decided: labels of the predicted classes, (N,), such as by a threshold; None predicts the class with the
                largest logit.

        Example:
            >>> answers = Answers.of(torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([1]))
            >>> answers.predicted.tolist(), answers.probabilities.shape
            ([2], torch.Size([1, 3]))
        """
        probabilities = logits.detach().float().softmax(1)
        classes = targets.new_zeros(len(targets), 0)
        if logits.shape[1] > MOST_WRITTEN:
            probabilities, classes = probabilities.topk(LIKELIEST, 1)
        decided = logits.argmax(1) if decided is None else decided
        return cls(*(part.cpu() for part in (targets, decided, probabilities, classes)))

    @classmethod
    def joined(cls, batches: Sequence[Answers]) -> Answers | None:
        """Join the predictions of several batches, in order; None if there is no batch."""
        return cls(*map(torch.cat, zip(*batches, strict=True))) if batches else None

    @classmethod
    def interleaved(cls, processes: Sequence[Answers | None]) -> Answers:
        """Join the predictions of n processes; process r has the images r, r + n, r + 2 n and so on.

        Args:
            processes: predictions by rank; None for a process without images.

        Example:
            >>> first, second = (Answers.of(torch.eye(3)[ranks], torch.tensor(ranks)) for ranks in ([0, 2], [1]))
            >>> Answers.interleaved([first, second]).targets.tolist()
            [0, 1, 2]
        """
        by_rank = {rank: answers for rank, answers in enumerate(processes) if answers is not None}
        places = [torch.arange(len(own.targets)) * len(processes) + rank for rank, own in by_rank.items()]
        order = torch.cat(places).argsort()
        return cls(*(torch.cat(parts)[order] for parts in zip(*by_rank.values(), strict=True)))


class Predicted(NamedTuple):
    """The predictions for a test set, in its order.

    Attributes:
        kind: what ``names`` are: ``"path"`` or ``"index"``.
        names: names of the images in the test set. If only its first images were tested (``limit_test_batches``), the
            names of the others may be included.
        class_names: name of each class, by label.
        answers: predictions for the tested images.
    """

    kind: str
    names: Sequence[str]
    class_names: Sequence[str]
    answers: Answers


def write_predictions(folder: Path, predicted: Predicted | None) -> str | None:
    """Write ``test_predictions.csv``, whole or not at all; one row per image, in the order of the test set.

    Columns: ``path`` or ``index``, ``class`` (the true one), ``prediction``, and ``p_<class>`` for each class; for more
    than 1,000 classes ``class_1, p_1`` to ``class_5, p_5``, the likeliest first.

    Args:
        folder: folder of the result; must exist.
        predicted: the predictions; None writes nothing, and removes an earlier file.

    Returns:
        The name of the file, or None.

    Example:
        >>> import tempfile
        >>> folder, answers = Path(tempfile.mkdtemp()), Answers.of(torch.tensor([[0.0, 9.0]]), torch.tensor([0]))
        >>> _ = write_predictions(folder, Predicted("path", ["cat/1.jpg"], ["cat", "dog"], answers))
        >>> print((folder / "test_predictions.csv").read_text().strip())
        path,class,prediction,p_cat,p_dog
        cat/1.jpg,cat,dog,0.000123,0.999877
    """
    path = folder / PREDICTIONS_FILE
    if predicted is None:
        path.unlink(missing_ok=True)
        return None
    kind, images, names, answers = predicted
    likeliest = answers.classes.shape[1]
    ranked = [column for place in range(1, likeliest + 1) for column in (f"class_{place}", f"p_{place}")]
    with whole_csv(path) as writer:
        writer.writerow([kind, "class", "prediction", *(ranked or [f"p_{name}" for name in names])])
        for image, target, label, row, classes in zip(images, *answers, strict=False):
            cells = [round(value, DIGITS) for value in row.tolist()]
            if likeliest:
                pairs = zip(classes.tolist(), cells, strict=True)
                cells = [cell for found, value in pairs for cell in (names[found], value)]
            writer.writerow([image, names[int(target)], names[int(label)], *cells])
    return path.name
