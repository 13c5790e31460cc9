"""The photographs of the documentation: ``python -m handbook.screenshots`` writes them to ``docs/``, by a browser.

They show the page of ``oponm report``, and what a run sends to Weights & Biases. The pages of Weights & Biases
themselves are on its server only, so the latter is a page of this script, which shows the files of an offline run.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import jinja2
from PIL import Image, ImageChops
from pytorch_lightning.loggers import CSVLogger

from oponm.data import DigitsLT
from oponm.errors import InputError
from oponm.logging import WandbLogger
from oponm.report import read_report
from oponm.training import fit

DOCS = Path(__file__).resolve().parents[1] / "docs"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
DARK = "--blink-settings=preferredColorScheme=0"
ONE_RUN = "header, section:not([aria-labelledby=details-heading]), h2, summary { display: none } .run { border: none }"
SHOWN = {  # a part of the report by picture: the width, and styles that hide the rest
    "report_sweep": (
        1250,
        "nav, section:nth-of-type(n+3):not(#figures), figure:not(#recall), #choice, #results :is(th, td):last-child"
        " { display: none }",  # the last column has seconds, which are this machine's
    ),
    "report_classes": (760, f"{ONE_RUN} .run > :not(.frame) {{ display: none }}"),
    "report_errors": (  # of the last three classes
        900,
        f"{ONE_RUN} .run > :not(h4, .errors), .run > h4:has(~ .errors ~ .errors ~ .errors ~ .errors),"
        " .run > .errors:has(~ .errors ~ .errors ~ .errors) { display: none }",
    ),
}
SEEDS = 3
CURVES = ("train/loss", "train/accuracy", "train/loss_noise", "train/accuracy_noise", "lr", "noise_share")
PAGE = """<!doctype html><meta charset="utf-8"><style>
body { margin: 16px; font: 14px/1.4 sans-serif; background: #f3f4f6; color: #1b1f24; columns: 3; column-gap: 14px }
section { break-inside: avoid; margin: 0 0 14px; padding: 8px 10px; border-radius: 6px; background: #fff }
h1 { column-span: all; margin: 0 0 14px; font-size: 18px }
h2 { margin: 0 0 6px; font: 600 13px monospace }
img { display: block; width: 100% }
table { border-collapse: collapse; font-size: 10px }
th, td { padding: 1px 6px 1px 0; text-align: left; white-space: nowrap }
</style>
<h1>What a run sends to Weights &amp; Biases: files of an offline run, not the pages that the server makes of them</h1>
{% for name, source in pictures.items() %}<section><h2>{{ name }}</h2><img src="{{ source }}"></section>{% endfor %}
{% for name, table in tables.items() %}<section><h2>{{ name }}</h2><table>
<tr>{% for column in table.columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in table.data %}<tr>
{% for cell in row %}<td>{{ cell | round(3) if cell is float else cell }}</td>{% endfor %}
</tr>{% endfor %}
</table></section>{% endfor %}"""


def find_browser() -> str:
    """The program of the browser.

    Raises:
        InputError: if there is none.
    """
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise InputError(f"needs a browser, and none of {', '.join(PROGRAMS)} is on the PATH: apt-get install chromium")
    return found


def photograph(page: Path, width: int, *flags: str) -> Image.Image:
    """The whole of a page, up to 3,000 pixels of height, without the empty parts above and below.

    Args:
        page: a file.
        width: of the window, in pixels of CSS; the picture has 1.5 times as many.
        flags: more options of the browser, such as :data:`DARK`.
    """
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
        size = (f"--window-size={width},3000", "--force-device-scale-factor=1.5", f"--user-data-dir={folder}/profile")
        command = [find_browser(), *options, *size, *flags, f"--screenshot={picture}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        image = Image.open(BytesIO(picture.read_bytes())).convert("RGB")
    ground = Image.new("RGB", image.size, image.getpixel((0, 0)))  # type: ignore[arg-type]
    _, top, _, bottom = ImageChops.difference(image, ground).getbbox() or (0, 0, *image.size)
    return image.crop((0, max(top - 24, 0), image.width, min(bottom + 24, image.height)))


def save(image: Image.Image, path: Path) -> None:
    """Write a picture with 64 colors, which makes it small.

    Args:
        image: the picture.
        path: a file that ends in ``.png``.
    """
    image.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def train_runs(folder: Path, epochs: int) -> Path:
    """Train three methods on the digits with several seeds each: the sweep in README.

    Args:
        folder: folder of the runs.
        epochs: length of a run.

    Returns:
        The folder of a run that has logged to Weights & Biases, offline.
    """
    for method in ("erm", "drs", "open"):
        for seed in range(SEEDS):
            run = folder / f"{method}-{seed}"
            loggers = [CSVLogger(str(run), name="", version="")]
            loggers += [WandbLogger(run, offline=True)] if (method, seed) == ("open", 0) else []
            options = {"max_epochs": epochs, "accelerator": "cpu", "phase_cache": folder / "cache"}
            fit(DigitsLT(imbalance_ratio=50), method=method, seed=seed, output_dir=run, loggers=loggers, **options)
    return folder / "open-0"


def wandb_page(run: Path) -> Path:
    """Write a page of what a run sent to Weights & Biases: its curves, pictures and tables.

    Args:
        run: the run's folder, with an offline run in ``wandb``.

    Returns:
        The page.
    """
    (media,) = run.glob("wandb/offline-run-*/files/media")

    def logged(kind: str, end: str) -> dict[str, Path]:
        files = {file.relative_to(media / kind).as_posix(): file for file in (media / kind).rglob(f"*{end}")}
        return {re.sub(r"_\d+_\w+[.\w]+$", "", name): files[name] for name in sorted(files)}

    tables = {name: json.loads(file.read_text()) for name, file in logged("table", ".table.json").items()}
    for table in tables.values():
        if len(table["columns"]) > len(table["data"]):  # readable on its side
            table["columns"], *table["data"] = zip(table["columns"], *table["data"], strict=True)
    page = run / "wandb.html"
    content = jinja2.Environment(autoescape=True).from_string(PAGE)
    pictures = {"scalars": _curves(run), **logged("images", ".png")}
    page.write_text(
        content.render(
            pictures={name: file.as_uri() for name, file in pictures.items()},
            tables={name: table for name, table in tables.items() if not name.startswith("charts/")},
        ),
        encoding="utf-8",
    )
    return page


def _curves(run: Path) -> Path:
    """A picture of the scalars, which all loggers get alike."""
    from matplotlib.figure import Figure

    rows = list(csv.DictReader((run / "metrics.csv").open(encoding="utf-8")))
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    for panel, name in zip(figure.subplots(3, 2).flat, CURVES, strict=True):
        points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        panel.plot(*zip(*points, strict=True), marker=".")
        panel.set_title(name, fontsize=10)
    figure.savefig(run / "curves.png", dpi=130)
    return run / "curves.png"


def make(folder: Path, epochs: int = 200) -> None:
    """Train small runs, and write all pictures.

    Args:
        folder: the folder of the pictures.
        epochs: length of a run.

    Raises:
        InputError: if no browser is found; nothing is trained then.
    """
    find_browser()
    with tempfile.TemporaryDirectory() as work:
        runs = Path(work)
        logged = train_runs(runs, epochs)
        for name, (width, hide) in SHOWN.items():
            report = read_report([*runs.glob("*-*")] if name == "report_sweep" else [logged])
            report.write(runs)
            text = (runs / "report.html").read_text(encoding="utf-8")
            text = re.sub(r"<meta http-equiv.*?>", "", text, count=1)  # it forbids styles that are not the page's own
            (runs / "part.html").write_text(text.replace("</style>", f"{hide}</style>", 1), encoding="utf-8")
            save(photograph(runs / "part.html", width), folder / f"{name}.png")
            save(photograph(runs / "part.html", width, DARK), folder / f"{name}_dark.png")
        save(photograph(wandb_page(logged), 1300), folder / "wandb.png")


if __name__ == "__main__":
    try:
        make(DOCS)
    except InputError as error:
        sys.exit(f"python -m handbook.screenshots {error}")
