from __future__ import annotations

import csv

import pytest
import torch

from oponm.metrics import Answers, Predicted, write_predictions


def draw(images: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(images, classes, generator=generator), torch.arange(images) % classes


def read(folder) -> list[list[str]]:
    with (folder / "test_predictions.csv").open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_the_order_is_that_of_the_test_set_whatever_the_processes(processes):
    logits, targets = draw(7, 4)
    whole = Answers.of(logits, targets)
    parts = []
    for rank in range(processes):
        mine = torch.arange(rank, 7, processes).split(2) if rank < 7 else []
        parts.append(Answers.joined([Answers.of(logits[batch], targets[batch]) for batch in mine]))
    for one, other in zip(Answers.interleaved(parts), whole, strict=True):
        assert torch.equal(one, other)


def test_a_row_tells_an_image(tmp_path):
    logits, targets = draw(5, 3)
    names = ["cat, big", "dog", "emu"]
    write_predictions(tmp_path, Predicted("path", [f"{i}.jpg" for i in range(5)], names, Answers.of(logits, targets)))
    head, *rows = read(tmp_path)
    assert head == ["path", "class", "prediction", "p_cat, big", "p_dog", "p_emu"]
    assert [row[0] for row in rows] == [f"{i}.jpg" for i in range(5)]
    assert [row[1] for row in rows] == [names[label] for label in targets]
    assert [row[2] for row in rows] == [names[label] for label in logits.argmax(1)]
    told = torch.tensor([[float(cell) for cell in row[3:]] for row in rows])
    torch.testing.assert_close(told, logits.softmax(1), atol=1e-6, rtol=0)


def test_of_many_classes_the_five_likeliest_are_told(tmp_path):
    logits, targets = draw(3, 1001)
    names = [f"c{label}" for label in range(1001)]
    write_predictions(tmp_path, Predicted("index", ["0", "1", "2"], names, Answers.of(logits, targets)))
    head, *rows = read(tmp_path)
    assert head[:5] == ["index", "class", "prediction", "class_1", "p_1"]
    assert [row[3::2] for row in rows] == [[names[label] for label in best] for best in logits.topk(5, 1).indices]
    assert all(row[2] == row[3] for row in rows)


def test_without_answers_a_file_of_before_goes(tmp_path):
    write_predictions(tmp_path, Predicted("index", ["0"], ["a", "b"], Answers.of(*draw(1, 2))))
    assert write_predictions(tmp_path, None) is None
    assert not list(tmp_path.iterdir())
