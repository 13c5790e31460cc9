"""A real browser without a window: what a page becomes in it, and what it looks like."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DARK = "--blink-settings=preferredColorScheme=0"


class Opened(NamedTuple):
    """The page after loading, what it wrote on the console, and the seconds that it all took."""

    dom: str
    console: list[str]
    seconds: float


def open_page(address: str, profile: Path, *flags: str) -> Opened:
    assert PROGRAM
    started = time.perf_counter()
    done = subprocess.run(
        [
            *(PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
            *("--enable-logging=stderr", f"--user-data-dir={profile}", *flags, "--dump-dom", address),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(done.stdout, console, time.perf_counter() - started)


def photograph(page: Path, folder: Path, width: int, height: int, *flags: str) -> np.ndarray:
    """The page in a frame of the width, which may be narrower than a window; (height, width, 3)."""
    frame = folder / "frame.html"
    style = f"width:{width}px;height:{height}px;border:0"
    frame.write_text(f'<body style="margin:0"><iframe src="{page}" style="{style}"></iframe>')
    picture = folder / "picture.png"
    # Not with --dump-dom: a picture is taken or the text is printed.
    assert PROGRAM
    subprocess.run(
        [
            *(PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
            *(f"--user-data-dir={folder / 'profile'}", f"--window-size={max(width, 500)},{height}", *flags),
            *(f"--screenshot={picture}", frame.as_uri()),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))[:, :width].astype(int)


def ask(page: Path, folder: Path, script: str, width: int = 1280, *flags: str) -> Any:
    """What a function body with ``page`` (the document) and ``view`` (its window) returns, once the page is loaded."""
    frame = folder / "frame.html"
    frame.write_text(
        f'<iframe id="frame" src="{page}" style="width:{width}px;height:800px;border:0"></iframe><script>'
        "frame.onload = () => { const view = frame.contentWindow, page = view.document;"
        "const answer = document.createElement('pre');"
        f"answer.textContent = JSON.stringify((() => {{ {script} }})()); document.body.append(answer); }};</script>"
    )
    opened = open_page(frame.as_uri(), folder / "profile", "--allow-file-access-from-files", *flags)
    answer = re.search(r"<pre>(.*)</pre>", opened.dom, re.DOTALL)
    assert answer, opened
    return json.loads(unescape(answer.group(1)))
