from __future__ import annotations

import pytest

from handbook.docstrings import as_markdown


@pytest.mark.parametrize("text", ["", "Plain ``code``.", "    Args:\n        x: a `b`.", "a :param x: b"])
def test_what_is_markdown_stays(text):
    assert as_markdown(text) == text


def test_examples_become_a_section_that_is_shown_as_code():
    assert as_markdown("A.\n\nExample:\n    >>> 1\n    1") == "A.\n\nExamples:\n    >>> 1\n    1"


def test_mathematics_becomes_mathml():
    text = as_markdown("Before.\n\n.. math:: p_i = \\frac{n_i}{N},\n    \\quad N = 2\n\nAfter :math:`x^2`.")
    assert text.startswith("Before.\n\n<math")
    assert 'display="block"' in text
    assert "<mfrac>" in text
    assert text.count("<math") == 2
    assert "\nAfter <math" in text
    assert text.endswith(".")


def test_a_name_becomes_a_link_that_may_lead_nowhere():
    text = as_markdown("See :class:`oponm.noise.Batch`.")
    assert 'identifier="oponm.noise.Batch" optional' in text
    assert "<code>oponm.noise.Batch</code>" in text
