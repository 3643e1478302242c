"""report.html in a real Chromium: from disk, without a network, with and without scripts, on paper and on a phone."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import rows
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from tables import read_folder, several_sweeps, write_folder

from tune_mnist.report.write import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: Debian's package is `chromium`"),
    pytest.mark.timeout(600),
]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SWEEPS = ["epochs", "batch", "lr", "optimizer", "cross"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sweeps with three seeds, one point failed, and their report."""
    made = write_folder(tmp_path_factory.mktemp("page") / "results", *several_sweeps())
    write_report(read_folder(made))
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The superuser, as in a container, gets no sandbox; the page is our own.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Heard:
    """What a page asked of the network, and what it complained of."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Iterator[tuple[Page, Heard]]:
    with browser.new_context(viewport=WIDE, offline=True) as context:  # type: ignore[arg-type]
        page = context.new_page()
        heard = Heard(page)
        page.goto((folder / "report.html").as_uri())
        page.locator(".view canvas").first.wait_for()
        yield page, heard


@pytest.fixture
def page(opened: tuple[Page, Heard]) -> Page:
    return opened[0]


def column(table: Any, name: str) -> list[str]:
    """The visible cells of a table's column."""
    place = table.locator("thead th").all_text_contents().index(name)
    shown = [row for row in table.locator("tbody tr").all() if row.is_visible()]
    return [row.locator("td").nth(place).inner_text() for row in shown]


def colours(picture: bytes) -> int:
    with Image.open(io.BytesIO(picture)) as image:
        return len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))


def test_it_opens_from_disk_without_network_or_complaint(opened: tuple[Page, Heard], folder: Path) -> None:
    page, heard = opened
    assert heard.complaints == []
    assert [url for url in heard.requests if not url.startswith(("data:", (folder / "report.html").as_uri()))] == []
    assert page.title() == "What epochs, batch size, learning rate, optimizer and dropout do on MNIST"


def test_nothing_in_it_points_at_a_network(page: Page) -> None:
    fetched = page.evaluate("[...document.querySelectorAll('[src], link[href]')].map(e => e.src || e.href)")
    assert [place[:40] for place in fetched if not place.startswith("data:")] == []


def test_the_first_screen_says_what_to_do(page: Page) -> None:
    box = page.get_by_text("lr (learning rate): Set 0.05: +3.08 points").bounding_box()
    assert box
    assert box["y"] + box["height"] < WIDE["height"]


def test_every_figure_is_shown_in_a_readable_size(page: Page, folder: Path) -> None:
    pictures = page.locator("figure img").all()
    assert len(pictures) == len(list(folder.glob("*.svg")))
    for picture in pictures:
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        assert box
        assert min(box["width"], box["height"] * 1.5) > 350
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
        assert len(picture.get_attribute("alt") or "") > 20
    assert colours(pictures[0].screenshot()) > 50


def test_the_interactive_views_are_drawn(page: Page) -> None:
    views = page.locator(".view").all()
    assert len(views) == 2
    for view in views:
        box = view.bounding_box()
        assert box
        assert box["width"] > 800
        assert box["height"] > 350
        assert colours(view.screenshot()) > 50


def test_pointing_at_a_mark_tells_its_numbers(page: Page, folder: Path) -> None:
    page.locator(".view").first.scroll_into_view_if_needed()
    x, y = page.evaluate(
        """() => {
          const has = view => view.model.renderers?.find(one => one.name === "marks of lr");
          const view = [...Bokeh.index].find(has);
          const {time, judged} = has(view).data_source.data;
          const box = view.el.getBoundingClientRect();
          return [box.x + view.frame.x_scale.compute(time[0]), box.y + view.frame.y_scale.compute(judged[0])];
        }"""
    )
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    told = page.locator(".bk-tooltip-row-value")
    told.first.wait_for()
    said = " ".join(told.all_inner_texts())
    first = next(row for row in rows(folder / "mnist_results.csv") if row["sweep"] == "lr")
    assert f"lr {first['value']}, seed {first['seed']}" in said
    assert f"{100 * float(first['test_accuracy']):.2f} %" in said
    assert first["train_time_s"] == "60.125"
    assert "1 min 00 s" in said


@pytest.mark.parametrize("how", ["pointer", "keyboard"])
def test_a_click_on_a_heading_sorts_and_another_turns_it_round(page: Page, how: str) -> None:
    table = page.locator("table").filter(has_text="Every point:")
    head = table.locator("thead th").filter(has_text="test accuracy")

    def press() -> None:
        if how == "pointer":
            head.get_by_role("button").click()
        else:
            head.get_by_role("button").focus()
            page.keyboard.press("Enter")

    before = column(table, "test accuracy")
    press()
    rising = column(table, "test accuracy")
    measured = [float(cell.removesuffix(" %")) for cell in rising if cell != "–"]
    assert sorted(before) == sorted(rising) != rising[::-1]
    assert measured == sorted(measured)
    assert rising[-1] == "–"  # what is not measured stands last
    assert head.get_attribute("aria-sort") == "ascending"
    press()
    falling = [float(cell.removesuffix(" %")) for cell in column(table, "test accuracy") if cell != "–"]
    assert falling == sorted(measured, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"


def test_times_sort_by_their_length(page: Page) -> None:
    """`9.5 s` before `1 min 04 s` before `1 h 02 min`, whatever their first numbers are."""
    page.evaluate(
        """() => {
          const said = ["1 h 02 min", "9.5 s", "2 min 03 s", "–", "0.512 s", "1 min 04 s"];
          const tables = [...document.querySelectorAll("table")];
          const table = tables.find(one => one.caption.textContent.startsWith("Every"));
          const place = [...table.tHead.rows[0].cells].findIndex(head => head.textContent === "training time");
          [...table.tBodies[0].rows].slice(said.length).forEach(row => row.remove());
          [...table.tBodies[0].rows].forEach((row, at) => { row.cells[place].textContent = said[at]; });
        }"""
    )
    table = page.locator("table").filter(has_text="Every point:")
    table.get_by_role("button", name="training time", exact=True).click()
    assert column(table, "training time") == ["0.512 s", "9.5 s", "1 min 04 s", "2 min 03 s", "1 h 02 min", "–"]


def test_headings_look_sortable(page: Page) -> None:
    heads = page.locator("th button").all()
    mark = "button => getComputedStyle(button, '::after').content"
    assert all("↕" in head.evaluate(mark) for head in heads)
    heads[0].click()
    assert "↑" in heads[0].evaluate(mark)


@pytest.mark.parametrize("how", ["pointer", "keyboard"])
def test_a_figure_is_larger_on_a_click_and_closes_again(page: Page, how: str) -> None:
    zoom = page.locator(".zoom").first
    small = zoom.locator("img").bounding_box()
    if how == "pointer":
        zoom.click()
    else:
        zoom.focus()
        page.keyboard.press("Enter")
    large = page.locator("dialog img")
    box = large.bounding_box()
    assert small
    assert box
    assert box["width"] > 1.2 * small["width"]
    assert large.get_attribute("alt") == zoom.locator("img").get_attribute("alt")
    if how == "pointer":
        page.get_by_role("button", name="close").click()
    else:
        page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_figures_are_as_wide_as_the_text(page: Page) -> None:
    text = page.locator("main p").first.bounding_box()
    assert text
    for picture in page.locator("figure img").all():
        box = picture.bounding_box()
        assert box
        assert (box["x"], box["width"]) == (text["x"], text["width"])


def test_differences_sort_by_their_sign(page: Page) -> None:
    table = page.locator("table").filter(has_text="Sweep batch:")
    table.get_by_role("button", name="difference to baseline", exact=True).click()
    cells = [cell.replace("−", "-") for cell in column(table, "difference to baseline")]
    numbers = [float(cell) for cell in cells if cell != "–"]
    assert len(numbers) == 2
    assert min(numbers) < 0 < max(numbers)
    assert numbers == sorted(numbers)


def shown_marks(page: Page) -> list[str]:
    """The sweeps whose marks and lines the views show."""
    found = page.evaluate(
        """sweeps => sweeps.filter(sweep => ["marks", "lines"].every(
             kind => Bokeh.documents[0].get_model_by_name(`${kind} of ${sweep}`).visible))""",
        SWEEPS,
    )
    return list(found)


def test_the_filter_shows_one_sweep_everywhere(page: Page) -> None:
    table = page.locator("table").filter(has_text="Every point:")
    whole = len(column(table, "sweep"))
    assert shown_marks(page) == SWEEPS
    page.get_by_label("Show in these views").select_option("lr")
    assert set(column(table, "sweep")) == {"lr"}
    assert set(column(page.locator("table").filter(has_text="Published against"), "sweep")) == {"lr"}
    assert shown_marks(page) == ["lr"]
    page.get_by_label("Show in these views").select_option("every sweep")
    assert len(column(table, "sweep")) == whole
    assert shown_marks(page) == SWEEPS


def test_it_prints(page: Page) -> None:
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") >= 4
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".view").first.is_visible()
    assert page.locator("img").first.is_visible()


@pytest.mark.parametrize("size", [PHONE, {"width": 320, "height": 600}], ids=["phone", "small phone"])
def test_a_phone_scrolls_down_and_not_sideways(browser: Browser, folder: Path, size: dict[str, int]) -> None:
    with browser.new_context(viewport=size, offline=True) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto((folder / "report.html").as_uri())
        page.locator(".view canvas").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert page.evaluate("parseFloat(getComputedStyle(document.querySelector('main li')).fontSize)") >= 16
        for picture in page.locator("figure").all():
            box = picture.bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= size["width"]
            inside = picture.locator("img").bounding_box()  # the whole of it
            assert inside
            assert inside["x"] + inside["width"] <= box["x"] + box["width"]
        page.locator(".zoom").first.click()
        large = page.locator("dialog img").bounding_box()  # large enough to be read, and to be scrolled over
        assert large
        assert large["width"] >= 700


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
@pytest.mark.parametrize("size", [WIDE, pytest.param(PHONE, marks=pytest.mark.long)], ids=["desk", "phone"])
def test_axe_finds_no_violation(browser: Browser, folder: Path, size: dict[str, int], scheme: Any) -> None:
    with browser.new_context(viewport=size, offline=True, color_scheme=scheme) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto((folder / "report.html").as_uri())
        page.locator(".view canvas").first.wait_for()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.locator(".zoom").first.click()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_a_dark_page_has_light_cards_for_its_figures_and_prints_light(browser: Browser, folder: Path) -> None:
    with browser.new_context(viewport=WIDE, offline=True, color_scheme="dark") as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto((folder / "report.html").as_uri())
        page.locator(".view canvas").first.wait_for()
        paint = "one => getComputedStyle(one).backgroundColor"
        assert page.locator("body").evaluate(paint) == "rgb(22, 24, 28)"
        for card in [*page.locator("figure img").all(), *page.locator(".view").all()]:
            assert card.evaluate(paint) == "rgb(255, 255, 255)"
        page.emulate_media(media="print", color_scheme="dark")
        assert page.locator("body").evaluate(paint) == "rgb(255, 255, 255)"


def test_without_scripts_all_is_there_but_what_needs_them(browser: Browser, folder: Path) -> None:
    with browser.new_context(viewport=WIDE, java_script_enabled=False, offline=True) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto((folder / "report.html").as_uri())
        assert page.get_by_text(" reaches the highest test accuracy").is_visible()
        assert all(picture.is_visible() for picture in page.locator("figure img").all())
        table = page.locator("table").filter(has_text="Every point:")
        assert len(table.locator("tbody tr").all()) == len(rows(folder / "mnist_results.csv"))
        assert table.locator("thead th").first.inner_text() == "sweep"
        assert not page.locator("select").is_visible()
        assert not page.locator(".view").first.is_visible()
        assert page.locator("th button, .zoom").count() == 0


def test_text_from_a_table_is_never_markup(browser: Browser, tmp_path: Path) -> None:
    """A table may come from somebody else: its names must not become elements or scripts."""
    evil = "</script><script>document.title = 'evil'</script><b>lr"
    tables = several_sweeps()
    tables[2]["sweep"] = evil
    tables[2]["hostname"] = "<img src=x onerror=\"document.title = 'evil'\">"
    made = write_folder(tmp_path / "results", *tables)
    write_report(read_folder(made))
    with browser.new_context(viewport=WIDE, offline=True) as context:  # type: ignore[arg-type]
        page = context.new_page()
        heard = Heard(page)
        page.goto((made / "report.html").as_uri())
        page.locator(".view canvas").first.wait_for()
        assert heard.complaints == []
        assert page.title().startswith("What epochs")
        assert page.get_by_role("heading", name=f"Sweep {evil}").is_visible()
        assert page.locator("main b").count() == 0
