from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oponm.report import collect_runs, compare, group_runs, html_page
from tests.report.browser import DARK, PROGRAM, ask, open_page, photograph
from tests.report.runs import accuracy, full_result, published, store_full

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium or chrome found: apt-get install chromium")

HOSTILE = "</script><script>console.log('run')</script><img src=x onerror=console.log('run')>"
FIGURES = ["recall", "difference", "curves", "confusion", "noise"]
ORDER = "return [...page.querySelector('#results').tBodies[0].rows].map(row => row.cells[0].textContent)"


def write_page(folder: Path, runs) -> Path:
    groups = group_runs(runs)
    path = folder / "report.html"
    path.write_text(html_page(groups, compare(groups), ["somewhere: not finished"]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for method in ("drs", "erm", "open"):
        for seed in range(3):
            store_full(folder / f"{method}-{seed}", full_result(method, seed))
    return write_page(folder, collect_runs([folder])[0])


def test_the_console_would_tell_of_an_error(tmp_path):
    (tmp_path / "page.html").write_text("<script>nowhere()</script>")
    opened = open_page((tmp_path / "page.html").as_uri(), tmp_path / "profile")
    assert any("nowhere is not defined" in line for line in opened.console)


def test_it_loads_without_an_error_or_a_warning(page, tmp_path):
    assert open_page(page.as_uri(), tmp_path / "profile").console == []


def test_every_figure_is_drawn(page, tmp_path):
    hidden = ask(
        page, tmp_path, "return [...page.querySelectorAll('figure')].map(figure => [figure.id, figure.hidden])"
    )
    assert hidden == [[name, False] for name in FIGURES]
    lines = "return ['recall', 'difference', 'noise'].map(id => page.querySelectorAll(`#${id} svg[role] .line`).length)"
    assert ask(page, tmp_path, lines) == [3, 2, 0]
    titles = "return [...page.querySelectorAll('#curves h4')].map(title => title.textContent)"
    assert ask(page, tmp_path, titles) == [
        "training loss",
        "training accuracy (%), natural images",
        "noise in a batch (%)",
        "learning rate",
    ]
    assert ask(page, tmp_path, "return page.querySelectorAll('#confusion canvas').length") == 3


def test_lines_stand_where_their_values_are(page, tmp_path):
    script = """
        const data = JSON.parse(page.getElementById('data').textContent);
        const points = [...page.querySelectorAll('#recall .chart path[transform]')].map(mark => [
          mark.querySelector('title').textContent, +mark.getAttribute('transform').match(/ ([\\d.]+)\\)/)[1]]);
        return [data.groups.map(group => [group.name, group.recall[0]]), data.splits[0].classes, points]"""
    groups, classes, points = ask(page, tmp_path, script)
    places = dict(points)
    heights = {
        value: next(y for title, y in places.items() if title.startswith(f"{name}, {label}: {value:g} "))
        for name, values in groups
        for label, value in zip(classes, values, strict=True)
    }
    slope, _ = np.polyfit(list(heights), list(heights.values()), 1)
    assert slope < 0
    assert np.corrcoef(list(heights), list(heights.values()))[0, 1] == pytest.approx(-1)


def test_a_phase_s_beginning_is_marked(page, tmp_path):
    script = """
        const curves = page.querySelector('#curves'), all = selector => [...curves.querySelectorAll(selector)];
        return [all('.border').length, all('.flag').length, all('.flag title')[0].textContent,
          all('svg[role] text').filter(text => text.textContent === 'class_balanced').length,
          curves.querySelector('p').textContent]"""
    borders, flags, title, named, told = ask(page, tmp_path, script)
    assert (borders, flags, named) == (4, 4, 4)
    assert title == "from epoch 8: erm: class_balanced, drs: class_balanced, open: class_balanced"
    assert "erm, drs, open: instance from epoch 0, class_balanced from epoch 8" in told


def test_a_phase_begins_inside_the_frame_or_is_not_marked(tmp_path):
    phases = [{"name": "a", "start": 0}, *({"name": name, "start": start} for name, start in (("b", 9), ("c", 50)))]
    store_full(tmp_path / "open", full_result("open", phases=phases))
    page = write_page(tmp_path, collect_runs([tmp_path])[0])
    script = """
        const [one] = page.querySelectorAll('#curves svg[role]'), inside = one.getBoundingClientRect();
        const parts = [...one.querySelectorAll('.border, .flag, text')].map(part => part.getBoundingClientRect());
        return [one.querySelectorAll('.border').length,
          parts.every(part => part.left >= inside.left && part.right <= inside.right && part.top >= inside.top)]"""
    assert ask(page, tmp_path, script) == [1, True]


def test_lines_that_coincide_differ_in_dashes_and_marks(page, tmp_path):
    script = """
        const [one] = page.querySelectorAll('#curves svg[role]');
        const dashes = line => view.getComputedStyle(line).strokeDasharray;
        return [[...one.querySelectorAll('.line')].map(line => [dashes(line), line.getAttribute('d')]),
          [...one.querySelectorAll('path[transform]:not(.flag)')].map(mark => mark.getAttribute('transform'))]"""
    lines, marks = ask(page, tmp_path, script)
    assert len({path for _, path in lines}) == 1
    assert len({dashes for dashes, _ in lines}) == len(lines) == 3
    assert len(set(marks)) == len(marks) >= 6


def test_what_noise_is_taken_for_are_columns(page, tmp_path):
    script = """
        const data = JSON.parse(page.getElementById('data').textContent);
        return [data.groups.map(group => group.noise), [...page.querySelectorAll('#noise svg[role] .column')]
          .map(column => [+column.getAttribute('x'), +column.getAttribute('height')])]"""
    values, columns = ask(page, tmp_path, script)
    heights = [height for _, height in columns]
    assert np.corrcoef(np.ravel(values), heights)[0, 1] == pytest.approx(1)
    assert heights == pytest.approx(np.ravel(values) * heights[0] / values[0][0])
    assert len({x for x, _ in columns}) == 30


@pytest.mark.parametrize(("classes", "charts"), [(20, 1), (30, 2)])
def test_columns_that_were_too_thin_have_a_chart_a_group(tmp_path, classes, charts):
    page = write_page(tmp_path, [full_result(method, classes=classes) for method in ("drs", "open")])
    script = "return ['svg[role]', '.column'].map(part => page.querySelectorAll(`#noise .charts ${part}`).length)"
    assert ask(page, tmp_path, script) == [charts, 2 * classes]


@pytest.mark.parametrize(("classes", "named"), [(3, 3), (20, 20), (21, 0)])
def test_axes_of_a_matrix_name_up_to_twenty_classes(tmp_path, classes, named):
    page = write_page(tmp_path, [full_result(method, classes=classes) for method in ("drs", "open")])
    script = """
        const place = one => one.getBoundingClientRect();
        const middle = (one, [from, size]) => place(one)[from] + place(one)[size] / 2;
        const matrix = page.querySelector('.matrix'), cells = place(matrix.querySelector('canvas'));
        return [['rows', ['top', 'height']], ['columns', ['left', 'width']]].map(([axis, along]) =>
          [...matrix.querySelectorAll(`.${axis} span`)].map(one =>
            [one.title, (middle(one, along) - cells[along[0]]) / cells[along[1]]]))"""
    for axis in ask(page, tmp_path, script):
        assert [name for name, _ in axis] == [f"class {label}" for label in range(named)]
        assert [place for _, place in axis] == pytest.approx([(k + 0.5) / classes for k in range(named)], abs=0.01)


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """A single run as it is, with the images that it mistakes."""
    from oponm.data import DigitsLT
    from oponm.training import fit

    folder = tmp_path_factory.mktemp("digits")
    fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=3, output_dir=folder / "run", accelerator="cpu")
    return write_page(folder, collect_runs([folder])[0])


METRICS = (
    "accuracy",
    "balanced_accuracy",
    "many",
    "medium",
    "few",
    "macro_f1",
    "top5_accuracy",
    "geometric_mean",
    "ece",
)


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    """As many columns as there may be, with numbers of their usual length."""
    runs = []
    for method in ("drs", "erm", "open"):
        for seed in range(3):
            metrics = dict.fromkeys(METRICS, 0.5 + 0.0123 * seed**2)
            runs.append(full_result(method, seed, metrics=metrics))
    folder = tmp_path_factory.mktemp("wide")
    with published(folder, *(accuracy(method, 84.6, "published") for method in ("drs", "erm", "open"))):
        return write_page(folder, runs)


def test_no_table_is_cut_on_a_wide_screen(wide, tmp_path):
    script = """page.querySelectorAll('details').forEach(one => one.open = true);
        return [...page.querySelectorAll('.scroll')].map(one =>
        [one.scrollWidth - one.clientWidth, one.parentNode.className])"""
    assert ask(wide, tmp_path, script, 1400) == [[0, "frame"]] * 2 + [[0, "frame"], [0, "frame fit"]] * 3 + [
        [0, "frame"]
    ]


def test_a_phone_shows_the_first_columns_and_that_there_are_more(wide, tmp_path):
    script = """
        const answer = [...page.querySelectorAll('.scroll')].map(one => {
          const end = part => part.getBoundingClientRect().right, frame = one.parentNode, before = frame.className;
          const heads = [...one.querySelectorAll('thead th')].filter(head => end(head) <= end(one));
          const shown = heads.map(head => head.dataset.key);
          one.scrollLeft = 9999;
          one.dispatchEvent(new Event('scroll'));
          const [left, edge] = [one.querySelector('tbody th'), one].map(part => part.getBoundingClientRect().left);
          return [shown, before, frame.className, left - edge];
        });
        return answer"""
    results, differences, *_ = ask(wide, tmp_path, script, 390)
    assert results[0] == ["method", "balanced_accuracy", "published published", "many"]
    assert differences[0][:3] == ["method", "interval", "balanced_accuracy"]
    for _, before, after, place in (results, differences):
        assert (before, after) == ("frame more-right", "frame more-left")
        assert place <= 1  # the names stay


def test_only_the_column_that_is_sorted_has_a_mark(page, tmp_path):
    script = """
        const marked = button => view.getComputedStyle(button, '::after').content !== 'none';
        return [...page.querySelectorAll('button')].filter(marked).map(button => button.parentNode.dataset.key)"""
    assert ask(page, tmp_path, script) == []
    assert ask(Path(f"{page}#sort=results/few/descending"), tmp_path, script) == ["few"]


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("metric", ["few", "balanced_accuracy"])
def test_the_address_sorts_a_table(page, tmp_path, metric, order):
    groups = group_runs([full_result(method, seed) for method in ("drs", "erm", "open") for seed in range(3)])
    ranked = sorted(groups, key=lambda group: group.mean_and_error(metric)[0], reverse=order == "descending")
    sorted_page = Path(f"{page}#sort=results/{metric}/{order}")
    assert ask(sorted_page, tmp_path, ORDER) == [group.name for group in ranked]
    state = "return [...page.querySelectorAll('[aria-sort]')].map(head => [head.dataset.key, head.ariaSort])"
    assert ask(sorted_page, tmp_path, state) == [[metric, order]]


@pytest.mark.parametrize(
    "address", ["sort=nowhere/few/ascending", "sort=results/nowhere/ascending", "sort=", "results"]
)
def test_an_address_that_names_no_column_sorts_nothing(page, tmp_path, address):
    assert ask(Path(f"{page}#{address}"), tmp_path, ORDER) == ["erm", "drs", "open"]


def test_a_button_sorts_and_sorts_back(page, tmp_path):
    press = "const button = page.querySelector('#results th[data-key=method] button');"
    assert ask(page, tmp_path, f"{press} button.click(); {ORDER}") == ["drs", "erm", "open"]
    assert ask(page, tmp_path, f"{press} button.click(); button.click(); {ORDER}") == ["open", "erm", "drs"]
    assert ask(page, tmp_path, f"{press} button.click(); return view.location.hash") == "#sort=results/method/ascending"


def test_what_is_missing_is_sorted_last_either_way(tmp_path):
    with published(tmp_path, accuracy("open", 84.6), accuracy("drs", 83)):
        page = write_page(tmp_path, [full_result(method) for method in ("open", "erm", "drs")])
    for order, expected in (("ascending", ["drs", "open", "erm"]), ("descending", ["open", "drs", "erm"])):
        assert ask(Path(f"{page}#sort=results/published%20paper/{order}"), tmp_path, ORDER) == expected


def test_methods_are_shown_by_choice_and_keep_their_color(page, tmp_path):
    script = """
        page.querySelector('#methods input').click();
        return ['recall', 'difference'].map(id => [...page.querySelectorAll(`#${id} .legend span`)].map(one =>
          [one.textContent, one.querySelector('.line').getAttribute('class')]))"""
    recall, difference = ask(page, tmp_path, script)
    assert [name for name, _ in recall] == ["drs", "open"]
    assert difference == recall[1:]


def test_each_split_can_be_chosen(tmp_path):
    page = write_page(tmp_path, [full_result(method, classes=n) for n in (5, 10) for method in ("drs", "open")])
    script = """
        const choice = page.querySelector('#split'), bars = () => page.querySelectorAll('#recall .bar').length;
        const before = bars(); choice.value = '1'; choice.dispatchEvent(new Event('change'));
        return [choice.options.length, before, bars()]"""
    number, *bars = ask(page, tmp_path, script)
    assert (number, sorted(bars)) == (2, [5, 10])


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_screen(tmp_path, width):
    long = "model.a_rather_long_key=" + "x" * 80
    runs = [full_result("drs"), full_result("open", overrides=[long], class_names=["n" * 60] * 10)]
    page = write_page(tmp_path, runs)
    script = "return [view.innerWidth, page.documentElement.scrollWidth]"
    inner, content = ask(page, tmp_path, script, width)
    assert inner == width
    assert content <= width


@pytest.mark.parametrize("flags", [[], [DARK]], ids=["light", "dark"])
def test_text_stands_out_from_the_page(page, tmp_path, flags):
    script = """
        const luminance = color => { const part = color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
          .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2]; };
        const paper = luminance(view.getComputedStyle(page.body).backgroundColor);
        const all = [...page.querySelectorAll('body, caption, figcaption p, a, th button, .chart text')]
          .map(one => view.getComputedStyle(one)[one.tagName === 'text' ? 'fill' : 'color']);
        const lines = [...page.querySelectorAll('.line')].map(one => view.getComputedStyle(one).stroke);
        const contrast = colors => Math.min(...colors.map(luminance)
          .map(ink => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)));
        return [paper, contrast(all), contrast(lines)]"""
    paper, text, lines = ask(page, tmp_path, script, 1280, *flags)
    assert (paper < 0.05) == bool(flags)
    assert text >= 4.5  # WCAG 2 AA, for text
    assert lines >= 3  # and for graphics


@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_dark_in_the_dark(page, tmp_path, width):
    light, dark = (photograph(page, tmp_path, width, 3000, *flags) for flags in ([], [DARK]))
    assert light.mean() > 200
    assert dark.mean() < 60
    assert dark.std() > 10


def test_a_single_run_is_open_with_its_pictures(digits, tmp_path):
    assert open_page(digits.as_uri(), tmp_path / "profile").console == []
    script = """
        const all = [...page.querySelectorAll('.errors img')];
        all.forEach(one => one.loading = 'eager');
        return [page.querySelector('details.run').open, all.length, all.map(one => one.naturalWidth)]"""
    is_open, number, widths = ask(digits, tmp_path, script)
    assert is_open
    assert number > 0
    assert set(widths) == {8}


def test_classes_can_be_sorted_without_a_mouse(digits, tmp_path):
    script = """
        const table = page.querySelector('#run-0-classes'), button = table.querySelector('th[data-key=recall] button');
        button.focus();
        const focused = page.activeElement === button;
        button.click();
        return [focused, [...table.tBodies[0].rows].map(row => +row.cells[4].dataset.value)]"""
    focused, recalls = ask(digits, tmp_path, script)
    assert focused
    assert recalls == sorted(recalls, reverse=True)
    assert len(recalls) == 10


def test_an_address_opens_the_run_whose_table_it_sorts(page, tmp_path):
    script = "return [...page.querySelectorAll('details.run')].map(one => one.open)"
    assert ask(page, tmp_path, script) == [False] * 3
    assert ask(Path(f"{page}#sort=run-1-classes/recall/descending"), tmp_path, script) == [False, True, False]


@pytest.mark.parametrize("width", [320, 1280])
def test_a_run_in_detail_is_no_wider_than_the_screen(digits, tmp_path, width):
    script = (
        "return [page.documentElement.scrollWidth, page.querySelector('.reliability').getBoundingClientRect().right]"
    )
    assert max(ask(digits, tmp_path, script, width)) <= width


@pytest.mark.parametrize("flags", [[], [DARK]], ids=["light", "dark"])
def test_numbers_stand_out_from_the_cells_of_a_matrix(digits, tmp_path, flags):
    script = """
        const parts = color => color.match(/[\\d.]+/g).map(Number);
        const paper = parts(view.getComputedStyle(page.body).backgroundColor);
        const light = color => { const [r, g, b] = color.map(v => v / 255)
          .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
        return [...page.querySelectorAll('.counts td')].map(cell => {
          const style = view.getComputedStyle(cell), [r, g, b, alpha = 1] = parts(style.backgroundColor);
          const behind = light([r, g, b].map((v, i) => alpha * v + (1 - alpha) * paper[i]));
          const ink = light(parts(style.color));
          return (Math.max(ink, behind) + 0.05) / (Math.min(ink, behind) + 0.05); })"""
    contrasts = ask(digits, tmp_path, script, 1280, *flags)
    assert len(contrasts) == 100
    assert len({round(contrast, 2) for contrast in contrasts}) > 3
    assert min(contrasts) >= 4.5


def test_names_do_nothing(tmp_path):
    hostile = {
        "overrides": [f"x={HOSTILE}"],
        "class_names": [HOSTILE] * 10,
        "phases": [{"name": HOSTILE, "start": 3}],
    }
    store_full(tmp_path / "open", full_result("open", **hostile))
    store_full(tmp_path / "drs", full_result("drs", class_names=[HOSTILE] * 10))
    page = write_page(tmp_path, collect_runs([tmp_path])[0])
    opened = open_page(page.as_uri(), tmp_path / "profile")
    assert opened.console == []
    assert "<img" not in opened.dom
    assert ask(page, tmp_path, "return page.querySelectorAll('img, script').length") == 2
    assert HOSTILE in ask(page, tmp_path, "return page.querySelector('#recall .legend').textContent")


def test_two_hundred_runs_open_quickly(tmp_path):
    """By the browser's own clock, from asking for the page until its script has drawn it all: two seconds where idle.

    The browser's start, of a second or so, is no part of it. The runs are as many settings, the most that there can be.
    """
    contents = {method: full_result(method, classes=100) for method in ("drs", "open")}
    for number in range(200):
        content = {**contents["open" if number else "drs"], "overrides": [f"x={number}"]}
        store_full(tmp_path / str(number), content, epochs=200)
    page = write_page(tmp_path, collect_runs([tmp_path])[0])
    assert page.stat().st_size < 5e6
    opened = open_page(page.as_uri(), tmp_path / "profile")
    assert opened.console == []
    assert opened.dom.count('<th scope="row">') == 200 + 199 + 200 + 5 * 100
    script = """
        page.body.getBoundingClientRect();  // laid out, too
        return [view.performance.now(), page.querySelectorAll('#recall .line').length > 0]"""
    milliseconds, drawn = ask(page, tmp_path, script)
    assert drawn
    assert milliseconds < 10_000
