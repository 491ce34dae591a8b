"""Every lesson, from top to bottom in JupyterLab; and the views that it shows."""

from pathlib import Path

import pytest
from lab import DARK, LIGHT
from notebook_page import contrast

ROOT = Path(__file__).resolve().parents[2]
LESSONS = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


def test_there_are_lessons():
    assert {"notebooks/00_start_here.ipynb", "notebooks/01_naive_decoding.ipynb"} <= set(LESSONS)


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_and_its_views_move_and_read_in_both_themes(lab, lesson):
    with lab.open(lesson, theme=DARK) as page:
        page.run_all()
        views = page.views()
        assert views, "a lesson has at least one view"
        dark = [look(view) for view in views]
        page.set_theme(LIGHT)
        for view, (dark_ground, dark_ink, dark_picture) in zip(views, dark, strict=True):
            light_ground, light_ink, light_picture = look(view)
            assert sum(dark_ground) < 3 * 128 < sum(light_ground), f"{view.title} does not follow the theme"
            assert contrast(dark_ground, dark_ink) >= 4.5 and contrast(light_ground, light_ink) >= 4.5
            assert light_picture != dark_picture
            view.works()


def look(view):
    return view.background(), view.ink(), view.picture()
