"""What each program loads and stores, in a real browser."""

import pytest
from kernel_records import by_rows, in_blocks

from course_lib.viz import programs_view


@pytest.fixture
def rows():
    return programs_view(by_rows())


@pytest.fixture
def blocks():
    return programs_view(in_blocks())


@pytest.fixture
def long():
    """400 programs, 1,180 accesses."""
    return programs_view(in_blocks(20, 8), by="access")


@pytest.mark.parametrize("name", ["rows", "blocks"])
def test_steps_words_and_table_in_the_page(request, name, open_view):
    view = request.getfixturevalue(name)
    page = open_view(view)
    page.get_by_role("button", name="step", exact=True).click()
    assert view.words(2) in page.inner_text(".cl-say").replace("\xa0", " ")
    page.evaluate("view.model.set('step', view.model.get('data').last)")
    cells = page.state.table()
    assert cells == [[str(value) for value in row.values()] for row in view.table(view.last)]
    assert page.inner_text(".cl-sums").split() == [
        "read",
        f"{view.table(view.last)[-1]['loaded so far']:,}",
        "written",
        f"{view.table(view.last)[-1]['stored so far']:,}",
    ]


def test_programs_and_numbers_are_chosen_by_keys(blocks, open_view):
    page = open_view(blocks, width=1100)
    programs, tensors = page.get_by_role("grid").all()
    programs.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.state.step() == 9 and "Program (1, 2)" in page.inner_text(".cl-say")
    page.keyboard.press("End")
    assert page.state.step() == 12
    tensors.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):  # the first only begins
        page.keyboard.press(key)
    assert page.state.selected() == ["a", 6 * 16 + 1]
    assert page.inner_text(".cl-note") == "a[1, 1]: loaded once by program (0, 0)."
    page.evaluate("view.model.set('selected', ['a', 16])")
    assert page.inner_text(".cl-note") == "a[0, 16]: loaded 2 times by programs (0, 0), (0, 1)."
    page.evaluate("view.model.set('selected', ['a', 95])")
    page.keyboard.press("ArrowRight")  # over the edge into the next tensor
    assert (
        page.state.selected() == ["b", 0] and page.inner_text(".cl-note") == "b[0, 0]: stored once by program (0, 0)."
    )
    assert (
        tensors.get_attribute("aria-activedescendant")
        and page.locator(f"[id='{tensors.get_attribute('aria-activedescendant')}']").text_content()
        == "b[0, 0]: stored once by program (0, 0)."
    )
    page.keyboard.press("Escape")
    assert page.state.selected() is None


def test_programs_and_numbers_are_chosen_by_mouse(rows, open_view):
    page = open_view(rows, width=1100)
    programs, tensors = page.get_by_role("grid").all()
    box = programs.bounding_box()
    page.mouse.click(box["x"] + 2 + 2 * 26 + 8, box["y"] + 26 + 8)
    assert page.state.step() == 3
    box = tensors.bounding_box()
    page.mouse.click(box["x"] + 24 + 1.5 * 26, box["y"] + 22 + 2.5 * 26)
    assert page.state.selected() == ["x", 11]
    page.mouse.click(box["x"] + 24 + 1.5 * 26, box["y"] + 22 + 2.5 * 26)
    assert page.state.selected() is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["rows", "long"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(request, open_view, looks_well, name, scheme, width):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_ring_of_the_first_program_is_whole_and_what_was_before_stands_out(rows, open_view, scheme):
    page = open_view(rows, width=1100, color_scheme=scheme)
    row = """(at, y) => { const canvas = document.querySelectorAll('canvas')[at], { width } = canvas;
        const pen = new OffscreenCanvas(width, 1).getContext('2d', { willReadFrequently: true });
        pen.drawImage(canvas, 0, -y * devicePixelRatio); const d = pen.getImageData(0, 0, canvas.width, 1).data;
        return Array.from({ length: canvas.width }, (_, i) => [...d.slice(4 * i, 4 * i + 4)]); }"""
    line = page.evaluate(f"({row})(0, 37)")
    ink = [
        int(part)
        for part in page.evaluate("getComputedStyle(document.querySelector('.cl')).color").strip("rgb()").split(", ")
    ]
    assert line[0] + line[1] == pytest.approx([*ink, 255] * 2, abs=3)  # both pixels of the ring's left side
    page.evaluate("view.model.set('step', 2)")
    before, now, later = (
        [tuple(pixel[:3]) for pixel in page.evaluate(f"({row})(1, {22 + 13 + 26 * n})")[26 : 24 + 5 * 26 - 2]]
        for n in range(3)
    )
    assert (
        max(contrast(a, b) for a in set(before) for b in set(later)) >= 3
        and max(contrast(a, b) for a in set(before) for b in set(now)) >= 3
    )


def contrast(one, other):
    def channel(c):
        return c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4

    low, high = sorted(0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b) for r, g, b in (one, other))
    return (high + 0.05) / (low + 0.05)
