"""The site is built strictly: every page, link and anchor is there; and it needs nothing from elsewhere."""

from __future__ import annotations

import logging
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from handbook.pages import ELSEWHERE, ROOT, read_notebook, relink
from tests.report.browser import PROGRAM, open_page

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


class Problems(logging.Handler):
    """What ``mkdocs build --strict`` counts."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


class Links(HTMLParser):
    """Addresses of a page: those that a browser loads, and those that a reader follows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.followed: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if (tag, name) in LOADED and value:
                self.loaded.append(value)
            elif (tag, name) == ("a", "href") and value:
                self.followed.append(value)


@pytest.fixture(scope="session")
def site(tmp_path_factory, session_monkeypatch):
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder, problems = tmp_path_factory.mktemp("site"), Problems()
    session_monkeypatch.chdir(ROOT)
    logging.getLogger("mkdocs").addHandler(problems)
    try:
        config = load_config("mkdocs.yml", site_dir=str(folder))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
    finally:
        logging.getLogger("mkdocs").removeHandler(problems)
    assert problems.found == []
    return folder


@pytest.fixture(scope="session")
def session_monkeypatch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_every_file_of_docs_is_a_page_in_the_menu(site):
    written = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    written |= {Path(page).with_suffix(".html") for page in ELSEWHERE.values()}
    built = {path.relative_to(site) for path in site.rglob("*.html")}
    assert written <= built
    menu = {link.partition("#")[0] for link in Links((site / "index.html").read_text(encoding="utf-8")).followed}
    assert {str(page) for page in built} - menu <= {"404.html", "index.html"}


def test_a_browser_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for address in Links(text).loaded:
            assert not re.match(r"(https?:)?//", address), (page.name, address)
            if not address.startswith("data:") and page.name != "404.html":
                assert (page.parent / re.split("[?#]", address)[0]).exists(), (page.name, address)
        assert "fonts.googleapis" not in text


def test_no_link_of_a_page_leads_nowhere(site):
    anchors = {
        page: set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8"))) for page in site.rglob("*.html")
    }
    for page in anchors:
        for link in Links(page.read_text(encoding="utf-8")).followed:
            if page.name == "404.html" or re.match(r"\w+:", link):
                continue
            address, _, anchor = link.partition("#")
            target = (page.parent / address).resolve() if address not in ("", ".") else page
            target = target / "index.html" if target.is_dir() else target
            assert target in anchors, (page.name, link)
            assert not anchor or anchor in anchors[target] or anchor.startswith("__"), (page.name, link)


def test_the_pages_that_are_made_have_their_content(site):
    keys = (site / "reference/config.html").read_text(encoding="utf-8")
    assert "norm.noise_grad" in keys
    assert "or {cat: 0.2, dog: 0.8}; null: that of training</td>" in keys.replace("&#123;", "{")
    api = (site / "reference/api/training.html").read_text(encoding="utf-8")
    assert 'id="oponm.training.fit"' in api
    assert "max_epochs" in api
    assert "<math" in (site / "reference/api/noise.html").read_text(encoding="utf-8")
    assert "01_quickstart_" in (site / "notebooks/01_quickstart.html").read_text(encoding="utf-8")
    own_images = (site / "tutorials/own_images.html").read_text(encoding="utf-8")
    assert "report_errors.png#only-light" in own_images
    assert "report_errors_dark.png#only-dark" in own_images
    assert "<picture>" not in own_images
    assert not [page for page in site.rglob("*.html") if ">>> " in _prose(page.read_text(encoding="utf-8"))]


@pytest.mark.skipif(PROGRAM is None, reason="no chromium or chrome found: apt-get install chromium")
@pytest.mark.parametrize(("page", "query"), [("index.html", "noise_grad"), ("reference/config.html", "tau")])
def test_a_site_of_files_can_be_searched(site, tmp_path, page, query):
    opened = open_page(f"{(site / page).as_uri()}?q={query}", tmp_path, "--virtual-time-budget=20000")
    assert opened.console == []
    assert re.search(r"[2-9]\d* matching documents", opened.dom)


def _prose(html: str) -> str:
    return re.sub(r"<pre.*?</pre>|<code.*?</code>", "", html, flags=re.DOTALL).replace("&gt;", ">")


@pytest.mark.parametrize(
    ("link", "source", "page", "expected"),
    [
        ("[a](docs/evidence.md#x)", "README.md", "index.md", "[a](evidence.md#x)"),
        ("[a](../CONTRIBUTING.md)", "docs/gallery.md", "gallery.md", "[a](contributing.md)"),
        ("[a](../../README.md)", "docs/how_to/data.md", "how_to/data.md", "[a](../index.md)"),
        ("[a](../LICENSE)", "docs/gallery.md", "gallery.md", "a"),
        ("[a](nowhere.md)", "docs/gallery.md", "gallery.md", "[a](nowhere.md)"),
        ("[a](https://example.org/b.md)", "README.md", "index.md", "[a](https://example.org/b.md)"),
    ],
)
def test_links_lead_to_pages_of_the_site(link, source, page, expected):
    assert relink(link, source, page, {"evidence.md", "contributing.md", "index.md"}) == expected


def test_mathematics_of_a_notebook_is_shown_and_its_code_stays(tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell("Class $i$, `$HOME$`."),
        nbformat.v4.new_code_cell("print('$a$')"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    text, _ = read_notebook(tmp_path / "a.ipynb")
    assert "Class <math" in text
    assert "`$HOME$`." in text
    assert "print('$a$')" in text


def test_a_notebook_has_its_text_code_and_pictures():
    text, pictures = read_notebook(ROOT / "notebooks/01_quickstart.ipynb")
    assert text.startswith("# Quickstart")
    assert "```python" in text
    assert pictures
    for name, content in pictures.items():
        assert f"](./{name})" in text
        assert content.startswith(b"\x89PNG")
