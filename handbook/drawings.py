"""The drawings of the documentation: ``python -m handbook.drawings`` writes them to ``docs/``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

ROOT = Path(__file__).resolve().parents[1]
NATURAL, NOISE, PLAIN, INK, GROUND = "#2b5fa8", "#d9682b", "#e9ebef", "#1f2430", "#ffffff"
BOLD = ' font-weight="bold"'
REACH = {  # what a loss of noise rows trains
    "none": "Noise trains the classifier alone.",
    "input": "Noise trains all layers, but no gamma and beta.",
    "full": "Noise trains everything.",
}
ABOUT = {  # what the rooms are for
    "cli": "commands",
    "report": "tables and figures of runs",
    "logging": "W&B, TensorBoard",
    "training": "run, module, phases, callbacks, phase cache",
    "inference": "predict, evaluate, export",
    "data": "data sets, samplers, augmentation, device pipeline",
    "models": "networks",
    "losses": "losses",
    "metrics": "metrics",
    "nn": "DAR-BN",
    "noise": "noise images",
    "longtail": "long tails as data",
}


def picture(width: int, height: int, about: str, parts: Iterable[str]) -> str:
    """An SVG file.

    Args:
        width: in pixels.
        height: in pixels.
        about: the picture in words, for a reader who cannot see it.
        parts: elements, the first at the bottom.
    """
    marks = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{color}"/></marker>'
        for name, color in (("natural", NATURAL), ("noise", NOISE), ("ink", INK))
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="Helvetica, Arial, sans-serif" font-size="15" fill="{INK}">',
        f"<title>{about}</title>",
        f"<defs>{marks}</defs>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{GROUND}"/>',
    ]
    return "\n".join([*lines, *parts, "</svg>", ""])


def box(x: int, y: int, width: int, height: int, fill: str = PLAIN, stroke: str = "none") -> str:
    """A rectangle with round corners."""
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {place} rx="6" fill="{fill}" stroke="{stroke}" stroke-width="2"/>'


def text(x: float, y: float, words: str, color: str = INK, anchor: str = "middle", style: str = "") -> str:
    """A line of text."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{color}"{style}>{escape(words)}</text>'


def arrow(path: str, kind: str, style: str = "") -> str:
    """An arrow along a path, of the color of its kind."""
    color = {"natural": NATURAL, "noise": NOISE, "ink": INK}[kind]
    return f'<path d="{path}" fill="none" stroke="{color}" stroke-width="2.5" marker-end="url(#{kind})"{style}/>'


def tile(x: int, y: int, pixels: npt.NDArray[np.int64], size: int, frame: str) -> str:
    """An image of 8x8 pixels of 0 to 16, dark on light."""
    side = size / 8
    shades, pixel = 255 - pixels.clip(0, 16) * 13, f"h{side:g}v{side:g}h-{side:g}z"
    cells = "".join(
        f'<path d="M{x + column * side:g} {y + row * side:g}{pixel}" fill="#{f"{shade:02x}" * 3}"/>'
        for row, line in enumerate(shades)
        for column, shade in enumerate(line)
        if shade < 255
    )
    frames = f'<rect x="{x}" y="{y}" width="{size}" height="{size}" fill="none" stroke="{frame}" stroke-width="2.5"/>'
    return f'<g shape-rendering="crispEdges">{cells}</g>{frames}'


def images_and_noise() -> tuple[npt.NDArray[np.int64], Callable[[], npt.NDArray[np.int64]]]:
    """An image of each digit, and a function that draws noise with the mean and deviation of all of them."""
    digits = load_digits()
    random = np.random.default_rng(0)
    first = np.stack([digits.images[digits.target == label][0] for label in range(10)]).astype(np.int64)
    mean, std = digits.images.mean(), digits.images.std()
    return first, lambda: random.normal(mean, std, (8, 8)).round().astype(np.int64)


def method() -> str:
    """The method: a batch, some images replaced by noise, two sets of statistics, one network."""
    digits, noise = images_and_noise()
    rows = [(digits[0], False), (digits[1], False), (noise(), True), (digits[8], False), (noise(), True)]
    parts = [
        text(24, 28, "a balanced batch", anchor="start"),
        text(24, 334, "noise in place of some rare images", anchor="start"),
    ]
    for number, (pixels, is_noise) in enumerate(rows):
        y, kind = 42 + number * 54, "noise" if is_noise else "natural"
        parts.append(tile(40, y, pixels, 44, NOISE if is_noise else NATURAL))
        end = 232 if is_noise else 102
        parts.append(arrow(f"M88 {y + 22}C170 {y + 22} 160 {end} 236 {end}", kind))
    for y, color, name in ((62, NATURAL, "natural rows"), (192, NOISE, "noise rows")):
        parts += [box(240, y, 190, 80, GROUND, color), text(335, y + 32, name, color)]
        parts.append(text(335, y + 57, "their own mean, std"))
    parts += [text(335, 28, "DAR-BN: two sets of statistics"), box(510, 92, 130, 150), text(575, 150, "one network:")]
    parts += [text(575, 172, "gamma, beta,"), text(575, 194, "all weights")]
    parts += [arrow("M432 102C470 102 470 145 506 145", "natural"), arrow("M432 232C470 232 470 190 506 190", "noise")]
    parts += [
        box(700, 92, 150, 150),
        text(775, 150, "one loss:"),
        text(775, 172, "noise has the label"),
        text(775, 194, "it replaced"),
    ]
    parts += [arrow("M642 145H696", "natural"), arrow("M642 190H696", "noise")]
    parts.append(text(545, 312, "In evaluation all of it is a plain network with plain batch norm."))
    return picture(880, 352, "OPeN and DAR-BN: " + " ".join((method.__doc__ or "").split()), parts)


def noise_beside_images() -> str:
    """The same batch of rare images under re-sampling and under OPeN."""
    digits, noise = images_and_noise()
    labels = [9, 8, 9, 9, 1, 8, 9, 0, 9, 8]
    replaced = {2, 5, 8}
    parts = [text(20, 34, "re-sampling: the same rare images again and again", anchor="start")]
    parts.append(text(20, 138, "OPeN: noise, with the label, in place of some", anchor="start"))
    for number, label in enumerate(labels):
        x, is_noise = 20 + number * 66, number in replaced
        parts.append(tile(x, 48, digits[label], 56, NATURAL))
        parts.append(tile(x, 152, noise() if is_noise else digits[label], 56, NOISE if is_noise else NATURAL))
        parts.append(text(x + 28, 230, str(label), NOISE if is_noise else INK))
    return picture(696, 246, "A batch of digits, and the same with noise images", parts)


def noise_grad(mode: str) -> str:
    """How far gradients of noise rows reach in one of the three modes.

    Args:
        mode: ``"none"``, ``"input"`` or ``"full"``.
    """
    parts, x = [text(20, 26, f"noise_grad={mode}: {REACH[mode]}", anchor="start", style=BOLD)], 20
    for name in ("conv 1", "batch norm 1", "conv 2", "batch norm 2", "classifier"):
        middle = x + (75 if name.startswith("batch") else 50)
        if name.startswith("batch"):
            fill, stroke, ink = (NOISE, NOISE, GROUND) if mode == "full" else (GROUND, INK, INK)
            parts += [box(x, 40, 150, 74), box(x + 12, 76, 126, 28, fill, stroke)]
            parts += [text(middle, 64, name), text(middle, 95, "gamma, beta", ink)]
        else:
            fill, ink = (NOISE, GROUND) if mode != "none" or name == "classifier" else (PLAIN, INK)
            parts += [box(x, 40, 100, 74, fill), text(middle, 82, name, ink)]
        end = 2 * middle - x
        parts.append(arrow(f"M{end + 2} 77h26", "ink"))
        x = end + 32
    parts += [text(x + 42, 72, "loss of"), text(x + 42, 92, "noise rows")]
    reach = x - 124 if mode == "none" else 30
    parts.append(arrow(f"M{x + 42} 104V140H{reach}", "noise", ' stroke-dasharray="7 4"'))
    words = "their gradients, no further" if mode == "none" else "their gradients"
    parts.append(text(reach - 12 if mode == "none" else x + 42, 145 if mode == "none" else 164, words, NOISE, "end"))
    return picture(x + 96, 176, f"noise_grad={mode}: {REACH[mode]}", parts)


def rooms() -> str:
    """The rooms of the package, as import-linter has them in ``pyproject.toml``."""
    contracts = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("layers = [")[2]
    contract, _, others = contracts.partition("\n]")
    layers = [re.findall(r"oponm\.(\w+)", line) for line in re.findall(r'"([^"]+)"', contract)]
    plain = re.findall(r"oponm\.(\w+)", others.partition("source_modules = [")[2].partition("]")[0])
    floors = [layer for layer in layers if set(layer) & set(ABOUT)]
    parts = [text(20, 30, "A room imports only from those below it.", anchor="start", style=BOLD)]
    for number, floor in enumerate([*floors, ["pure Python"]]):
        y = 46 + number * 66
        width = (760 - 12 * (len(floor) - 1)) // len(floor)
        for place, name in enumerate(floor):
            x = 20 + place * (width + 12)
            parts.append(box(x, y, width, 56, *(("#fdeee4", NOISE) if name in plain else (PLAIN, "none"))))
            title = f"oponm.{name}" if name in ABOUT else "rng, errors and other small modules"
            named = ABOUT.get(name, "what every room may use")
            parts.append(text(x + width / 2, y + 24, title, style=BOLD))
            parts.append(text(x + width / 2, y + 44, named, style=' font-size="13"'))
    y = 46 + (len(floors) + 1) * 66
    parts.append(text(20, y + 14, "Framed: plain PyTorch, without Lightning and Hydra.", NOISE, "start"))
    return picture(800, y + 30, "The rooms of oponm", parts)


DRAWINGS: dict[str, Callable[[], str]] = {
    "method": method,
    "noise": noise_beside_images,
    **{f"noise_grad_{mode}": lambda mode=mode: noise_grad(mode) for mode in REACH},
    "rooms": rooms,
}


def main() -> None:
    """Write all of them."""
    for name, draw in DRAWINGS.items():
        (ROOT / "docs" / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
