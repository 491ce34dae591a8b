"""Every lesson, from top to bottom in JupyterLab: it prints what is committed, and its views work."""

from pathlib import Path

import pytest
from as_committed import must_be_as_committed
from lab import DARK, LIGHT
from notebook_page import contrast

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


def test_there_are_lessons():
    assert {"notebooks/00_start_here.ipynb", "notebooks/01_naive_decoding.ipynb"} <= set(LESSONS)


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_prints_what_is_committed_and_its_views_move_and_read_in_both_themes(lab, lesson, request):
    with lab.open(lesson, theme=DARK) as page:
        page.run_all()
        must_be_as_committed(request.session, ROOT / lesson, page.outputs())
        views = page.views()
        assert views, "a lesson has at least one view"
        dark = []
        for view in views:
            reads_on(view, dark=True)
            dark.append(view.picture())
        page.set_theme(LIGHT)
        for view, dark_picture in zip(views, dark, strict=True):
            # it draws again when the colours are there
            assert page.eventually(lambda: view.picture() != dark_picture), f"{view.title} does not follow the theme"
            reads_on(view, dark=False)
            view.works()


def reads_on(view, dark):
    """Raises AssertionError where the view's ground is not the theme's or its words are hard to read."""
    ground, ink = view.background(), view.ink()
    assert (sum(ground) < 3 * 128) == dark, f"{view.title} does not follow the theme"
    assert contrast(ground, ink) >= 4.5
