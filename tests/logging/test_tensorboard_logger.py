from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from oponm.errors import InputError
from oponm.logging import TensorBoardLogger


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def test_a_process_that_goes_on_leaves_neither_gap_nor_duplicate(tmp_path):
    for epochs in (3, 5):
        logger = TensorBoardLogger(tmp_path)
        logger.show({"data/images": Figure((2, 1))}, {})
        for epoch in range(epochs):
            logger.log_metrics({"loss": 1 / (epoch + 1)}, 10 * epoch)
        logger.finalize("failed" if epochs == 3 else "success")
    events = read(tmp_path)
    logged = events.Scalars("loss")
    assert [each.step for each in logged] == [0, 10, 20, 30, 40]
    assert [each.value for each in logged] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert [image.step for image in events.Images("data/images")] == [0]


def test_tables_and_facts_are_text(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    logger.show({}, {"test/classes": [("class", "recall"), ("a|b", 0.5)]})
    logger.summarize({"split_digest": "abc"})
    logger.finalize("success")
    events = read(tmp_path)
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert r"| a\|b | 0.5 |" in texts["test/classes/text_summary"]
    assert "| split_digest | abc |" in texts["facts/text_summary"]


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    from lightning_fabric.loggers import tensorboard

    monkeypatch.setattr(tensorboard, "_TENSORBOARD_AVAILABLE", False)
    monkeypatch.setattr(tensorboard, "_TENSORBOARDX_AVAILABLE", False)
    with pytest.raises(InputError, match=r"oponm\[tensorboard\]"):
        TensorBoardLogger(tmp_path)
