"""Hooks of MkDocs: pages that stand elsewhere in the repository, generated pages, and links between them."""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # MkDocs loads this file by its path

from handbook.config_reference import config_reference  # noqa: E402

# Files of the repository that are pages of the site as well.
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/RESULTS.md": "explanation/benchmarks.md",
}
ROOMS = ("longtail", "noise", "nn", "losses", "metrics", "models", "data", "inference", "training", "logging", "report")
INLINE_MATH = re.compile(r"```.*?```|`[^`]*`|^    .*?$|\$([^$\n]+)\$", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r'<picture>\s*<source .*?srcset="(.*?)">\s*(<img .*?src=")(.*?)(">)\s*</picture>', re.DOTALL)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\(([^)\s:]+?)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not stand in ``docs/``."""
    from mkdocs.structure.files import File

    texts = {page: (ROOT / file).read_text(encoding="utf-8") for file, page in ELSEWHERE.items()}
    texts |= {f"reference/api/{room}.md": f"# oponm.{room}\n\n::: oponm.{room}\n" for room in ROOMS}
    texts["reference/config.md"] = config_reference()
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = read_notebook(notebook)
        texts[f"notebooks/{notebook.stem}.md"] = text
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    for page, text in texts.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Point the links of a page, which are right in the repository, to pages of the site."""
    here = page.file.src_uri
    source = next((file for file, name in ELSEWHERE.items() if name == here), f"docs/{here}")
    markdown = PICTURE.sub(r"\2\3#only-light\4\n\2\1#only-dark\4", markdown)  # by the site's colors, not the system's
    return relink(markdown, source, here, {file.src_uri for file in files})


def relink(markdown: str, source: str, page: str, known: set[str]) -> str:
    """Links between files of the repository as links between pages.

    A link to a file that is no page becomes its text.

    Args:
        markdown: the text of a page.
        source: the file that holds it, from the root of the repository.
        page: the page's place in the site.
        known: the places of all pages and pictures.

    Example:
        >>> relink("[a](docs/evidence.md) [b](LICENSE)", "README.md", "index.md", {"evidence.md"})
        '[a](evidence.md) b'
    """

    def target(found: re.Match[str]) -> str:
        mark, text, link, anchor = found.groups()
        text = LINK.sub(target, text)
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        place = ELSEWHERE.get(file, re.sub(r"\.ipynb$", ".md", file.removeprefix("docs/")))
        if place in known:
            return f"{mark}[{text}]({posixpath.relpath(place, posixpath.dirname(page))}{anchor or ''})"
        return found[0] if file.startswith("docs/") or not (ROOT / file).exists() else text

    return LINK.sub(target, markdown)


def read_notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its pictures by name.

    Args:
        path: of a notebook that is stored with its outputs.
    """
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_filename(str(path), {"unique_key": path.stem, "output_files_dir": "."})
    pictures = {Path(name).name: content for name, content in resources["outputs"].items()}
    return INLINE_MATH.sub(_formula, re.sub(r"\n{3,}", "\n\n", text)), pictures


def _formula(found: re.Match[str]) -> str:
    """A formula between dollars as MathML; code stays as it is."""
    from latex2mathml.converter import convert

    return str(convert(found[1])) if found[1] else found[0]
