"""Prepares class names for plots: finds fonts that have their characters, and breaks long names into lines."""

from __future__ import annotations

import logging
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache

log = logging.getLogger(__name__)
LINE, LINES = 20, 3  # characters of a line, and lines of a name; what is longer loses its middle
_LETTER = re.compile(r".*?(?:LETTER|SYLLABLE|DIGIT)(?: SMALL)? (.+)")
_PLACEHOLDERS = "Last Resort"  # a font of boxes for all characters


def class_labels(names: Sequence[str]) -> tuple[list[str], list[str]]:
    r"""Return the label text of each class for a plot, and the fonts to draw it in.

    Characters that no installed font has are spelled by their names in Unicode, and one warning says so.

    Args:
        names: the class names.

    Returns:
        A text of at most three lines for each name, without the middle of longer ones; and font families in the order
        in which they are tried for a character.

    Example:
        >>> class_labels(["cat", "domestic long-haired cat of any color"])
        (['cat', 'domestic long-haired\ncat of any color'], ['DejaVu Sans'])
    """
    families, missing = fonts_for({character for name in names for character in name if character.isprintable()})
    if missing:
        shown = " ".join(sorted(missing)[:10])
        log.warning("no installed font has %s: class names with them are spelled in figures", shown)
    return [_wrapped("".join(map(_spelled(missing), name))) for name in names], families


def fonts_for(characters: Iterable[str], among: Sequence[str] | None = None) -> tuple[list[str], set[str]]:
    """Find fonts that have the given characters: DejaVu Sans, and other fonts only for characters that it lacks.

    Args:
        characters: the characters to be drawn.
        among: names of the other font families to search; None searches all installed ones.

    Returns:
        Names of font families, and the characters that none of them has.

    Example:
        >>> fonts_for("aé", among=[])
        (['DejaVu Sans'], set())
        >>> fonts_for("犬", among=[])
        (['DejaVu Sans'], {'犬'})
    """
    from matplotlib.font_manager import findfont, fontManager

    families = ["DejaVu Sans"]
    missing = {character for character in characters if ord(character) not in _has(findfont("DejaVu Sans"))}
    plain = [font for font in fontManager.ttflist if font.style == "normal" and _PLACEHOLDERS not in font.name]
    for font in sorted(plain, key=lambda font: (abs(_weight(font.weight) - 400), "Sans" not in font.name, font.name)):
        if not missing:
            break
        if among is not None and font.name not in among:
            continue
        with suppress(OSError, RuntimeError):  # a font that was removed, or is damaged
            if found := {character for character in missing if ord(character) in _has(font.fname)}:
                families, missing = [*families, font.name], missing - found
    return families, missing


@cache
def _has(file: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(file).get_charmap())


def _weight(weight: int | str) -> int:
    return weight if isinstance(weight, int) else {"normal": 400, "regular": 400, "bold": 700}.get(weight, 500)


def _spelled(missing: set[str]) -> Callable[[str], str]:
    def spell(character: str) -> str:
        if not character.isprintable():
            return "?"
        if character not in missing:
            return character
        found = _LETTER.fullmatch(unicodedata.name(character, ""))
        return found[1].lower().replace(" ", "") if found else f"<{ord(character):x}>"

    return spell


def _wrapped(name: str) -> str:
    if len(name) > LINE * LINES:
        half = LINE * LINES // 2 - 3
        name = f"{name[:half]} ... {name[-half:]}"
    return "\n".join(textwrap.wrap(name, LINE)) or name
