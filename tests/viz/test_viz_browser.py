"""The views in a real headless Chromium, from a bare page. `open_view` fails on any console message or request."""

import pytest

COUNT = ".cl-count"


def press(page, label):
    page.get_by_role("button", name=label, exact=True).click(
        force=True
    )  # at an end the button only says that it is disabled


@pytest.mark.parametrize("name, last", [("naive", 6), ("chances", 3)])
def test_buttons_scrub_and_words(request, open_view, name, last):
    view = request.getfixturevalue(name)
    page = open_view(view)
    assert page.inner_text(COUNT) == f"step 1 / {last}"
    press(page, "step")
    assert page.state.step() == 2
    assert view.words(2) in page.inner_text(".cl-say").replace("\xa0", " ")
    press(page, "step back")
    press(page, "step back")  # at the first step it stays there
    assert page.state.step() == 1
    press(page, "last step")
    press(page, "step")
    assert page.state.step() == last
    press(page, "first step")
    assert page.state.step() == 1
    page.locator(".cl-scrub").fill("3")
    assert page.state.step() == 3 and page.inner_text(COUNT) == f"step 3 / {last}"
    assert page.get_attribute(".cl-scrub", "aria-valuetext") == f"step 3 of {last}"


def test_keys_move_the_view_and_go_no_further(naive, open_view):
    page = open_view(naive)
    page.evaluate("globalThis.heard = []; document.addEventListener('keydown', event => heard.push(event.key))")
    page.locator(".cl").focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home"):
        page.keyboard.press(key)
        seen.append(page.state.step())
    assert seen == [2, 3, 2, 6, 1]
    page.keyboard.press("d")  # twice would delete a notebook's cell
    page.locator(".cl-scrub").focus()
    page.keyboard.press("ArrowRight")
    assert page.state.step() == 2  # once, not once by the slider and once by the player
    assert page.evaluate("heard") == []
    page.keyboard.press("Control+b")
    assert "b" in page.evaluate("heard")  # the host's own shortcuts are the host's


def stop_clock(page):
    """From now on the page's timers run only when the test says so: page.clock.run_for(milliseconds)."""
    page.clock.install(time=0)
    page.clock.pause_at(1_000)


def test_play_runs_to_the_end_stops_and_starts_again(naive, open_view):
    page = open_view(naive, alone=True)  # its clock stands still
    stop_clock(page)
    press(page, "play")
    assert page.get_attribute(".cl-say", "aria-live") == "off"
    page.clock.run_for(15_000)
    assert page.state.step() == 6
    page.get_by_role("button", name="play", exact=True).wait_for()
    assert page.get_attribute(".cl-say", "aria-live") == "polite"
    page.clock.run_for(1_000)
    assert page.state.step() == 6
    page.locator(".cl").focus()
    page.keyboard.press("Space")
    assert page.state.step() == 1
    page.keyboard.press("Space")
    page.clock.run_for(1_000)
    assert page.state.step() == 1  # paused


def test_nothing_moves_on_its_own_with_reduced_motion(chances, open_view):
    page = open_view(chances, reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.querySelector('.cl-after')).transitionProperty") == "none"


def test_python_moves_the_page(naive, open_view):
    page = open_view(naive)
    page.evaluate("view.model.set('step', 4)")
    assert page.inner_text(COUNT) == "step 4 / 6"


def test_a_token_can_be_selected_with_mouse_and_keys(naive, open_view):
    page = open_view(naive)
    press(page, "last step")
    grid = page.get_by_role("grid")
    grid.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    assert (page.state.selected(), page.state.step()) == (1, 5)
    assert page.inner_text(".cl-note") == "‘In’ (position 1) has been through the model 5 times; once was needed."
    cell = page.locator(f"[id='{grid.get_attribute('aria-activedescendant')}']")
    assert cell.text_content() == "step 5, position 1, In: computed before"
    page.keyboard.press("Escape")
    assert page.state.selected() is None
    box = grid.bounding_box()
    page.mouse.click(box["x"] + 92 + 10, box["y"] + box["height"] - 12)
    assert (page.state.selected(), page.state.step()) == (0, 6)


def test_a_candidate_can_be_selected(chances, open_view):
    page = open_view(chances)
    page.get_by_role("grid").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    assert page.state.selected() == 2
    assert page.inner_text(".cl-note") == "‘␣the’: 10.0 % from the model, cut."
    assert page.locator(".cl-bar.cl-cut").count() == 2 and page.locator(".cl-bar.cl-chosen").count() == 1
    assert page.inner_text(".cl-place") == "␣there"
    press(page, "step")
    page.locator(".cl-made", has_text="there").click()
    assert page.state.step() == 1


@pytest.mark.parametrize("name", ["naive", "chances"])
def test_the_table_in_the_page_is_the_table_in_python(request, open_view, name):
    view = request.getfixturevalue(name)
    page = open_view(view)
    press(page, "step")
    cells = page.state.table()
    assert cells == [[str(value) for value in row.values()] for row in view.table(2)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["naive", "chances", "long"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(request, open_view, looks_well, name, scheme, width):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)


def test_a_change_of_theme_repaints_the_canvas(naive, open_view):
    page = open_view(naive, color_scheme="light")
    painted = "document.querySelector('.cl-sheet canvas').toDataURL()"
    before = page.evaluate(painted)
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_function(f"before => {painted} !== before", arg=before)
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    page.wait_for_function(f"before => {painted} === before", arg=before)


@pytest.mark.parametrize("name", ["naive", "chances", "long"])
def test_drawing_a_step_takes_little_work(request, open_view, work_of_steps, little, name):
    little(work_of_steps(open_view(request.getfixturevalue(name), width=1200)), typical=400, worst=6_000)


def test_it_can_be_taken_away(naive, open_view):
    page = open_view(naive, alone=True)  # its clock stands still
    stop_clock(page)
    press(page, "play")
    page.evaluate("view.remove()")
    page.clock.run_for(1_200)
    assert page.locator(".cl").count() == 0 and page.state.step() == 1
