from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torchmetrics import MetricCollection

from oponm.metrics import RowMetrics, evaluation_metrics, summarize
from tests.metrics.answers import answers
from tests.processes import spawn

COUNTS = [1000, 600, 300, 150, 90, 50, 30, 15, 8, 4]
# Rows of each process, batch by batch: uneven, and in the last case none for the second process.
SHARES = {"uneven": ([120, 1, 60], [19]), "one idle": ([150, 50], [])}


def count(parts: list[slice]) -> tuple[MetricCollection, RowMetrics]:
    logits, targets = answers(10, rows=200)
    targets[:40], logits[:40, 0] = 0, 99.0  # a first batch on which all metrics agree
    metrics, rows = evaluation_metrics(10, confusions=True), RowMetrics()
    for part in parts:
        metrics.update(logits[part], targets[part])
        rows.update(logits[part, 0].abs(), logits[part].argmax(1) == targets[part], targets[part] % 3 == 2)
    return metrics, rows


def slices(sizes: list[int], start: int) -> list[slice]:
    ends = [start + sum(sizes[: number + 1]) for number in range(len(sizes))]
    return [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]


def work(rank: int, folder: Path, shares: tuple[list[int], list[int]]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    metrics, rows = count(slices(shares[rank], start=rank * sum(shares[0])))
    torch.save((metrics.compute(), rows.compute()), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_two_processes_measure_what_one_does(tmp_path, shares):
    spawn(work, (tmp_path, shares), 2)
    metrics, rows = count([slice(0, 200)])
    expected, expected_rows = summarize(metrics.compute(), COUNTS), rows.compute()
    for rank in range(2):
        values, row_values = torch.load(tmp_path / f"{rank}.pt")
        measured = summarize(values, COUNTS)
        assert measured.scalars == pytest.approx(expected.scalars, abs=2e-6)
        assert measured[1:4] == expected[1:4]
        assert (measured.confusion_matrix != expected.confusion_matrix).nnz == 0
        assert measured.confusion_matrix.sum() == 200
        assert row_values.keys() == expected_rows.keys()
        for name, value in row_values.items():
            torch.testing.assert_close(value, expected_rows[name])
