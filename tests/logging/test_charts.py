from __future__ import annotations

from oponm.logging.charts import bar_chart, confusion_chart


def test_a_thousand_classes_have_bars_and_no_matrix_that_would_be_cut_off():
    names = [str(label) for label in range(1000)]
    assert len(bar_chart("", names, "accuracy", [0.5] * 1000).table) == 1001
    assert confusion_chart("", names, [[0] * 1000] * 1000) is None
    assert len(confusion_chart("", names[:100], [[0] * 100] * 100).table) == 10_001
