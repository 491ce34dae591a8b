"""The files of the views: scripts without imports, style sheets that touch nothing else, colours with contrast."""

import io
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from course_lib.errors import CourseError
from course_lib.viz.kit.looks import request_colour
from course_lib.viz.kit.page import VIZ, esm, scripts, stylesheet
from course_lib.viz.kit.still import Picture, palette

SCRIPTED = sorted(path.parent.name for path in VIZ.glob("*/view.js"))


def test_every_view_has_its_files():
    folders = {path.parent.name for path in VIZ.glob("*/view.py")}
    assert set(SCRIPTED) == folders - {"roofs"}  # a picture alone
    for folder in folders:
        files = {path.name for path in (VIZ / folder).iterdir()}
        assert {"__init__.py", "model.py", "view.py", "still.py"} <= files, folder
        assert folder == "roofs" or "view.css" in files


@pytest.mark.parametrize("name", SCRIPTED)
def test_the_module_imports_and_fetches_nothing(name):
    text = esm(name)
    assert not re.search(r"^\s*import\b|\bimport\(|\bfetch\(|XMLHttpRequest", text, flags=re.MULTILINE)
    assert set(re.findall(r"https?://[^\s\"]+", text)) <= {"http://www.w3.org/2000/svg"}  # a name space, not an address
    assert text.count("export default") == 1 and not re.search(r"^export (?!default)", text, flags=re.MULTILINE)
    assert not re.search(r"innerHTML|insertAdjacentHTML", text)  # a token is text, never markup


def test_scripts_come_after_those_that_they_import(tmp_path, monkeypatch):
    for name in SCRIPTED:
        found = scripts(name)
        for at, path in enumerate(found):
            needs = re.findall(r'from "(\..*?)";', path.read_text(encoding="utf-8"))
            assert {(path.parent / other).resolve() for other in needs} <= set(found[:at])
    for one, other in (("view", "part"), ("part", "view")):
        (tmp_path / "round").mkdir(exist_ok=True)
        (tmp_path / "round" / f"{one}.js").write_text(f'import {{ a }} from "./{other}.js";\nexport const a = 1;\n')
    monkeypatch.setattr("course_lib.viz.kit.page.VIZ", tmp_path)
    with pytest.raises(CourseError, match="import each other in a circle: round/view.js -> round/part.js"):
        scripts("round")


@pytest.mark.parametrize("name", SCRIPTED)
def test_the_stylesheet_touches_nothing_but_the_views(name):
    text = re.sub(r"/\*.*?\*/", "", stylesheet(name), flags=re.DOTALL)
    assert "@import" not in text and "url(" not in text and "prefers-color-scheme" not in text
    selectors = [one.strip() for one in re.findall(r"([^{};]+)\{", text) if not one.strip().startswith("@")]
    assert len(selectors) > 50
    for selector in selectors:
        hosts = re.sub(r"body\.vscode-[\w-]+", "", selector)
        assert all(name.startswith("cl") for name in re.findall(r"\.(-?[a-z_][\w-]*)", hosts)), selector
        assert all(re.search(r"\.cl\b", part) for part in re.split(r",(?![^(]*\))", selector)), selector


# Names by which a view or a test finds a node, without a look of their own.
NAMES_ONLY = {"cl-slots", "cl-plain", "cl-cell"}


@pytest.mark.parametrize("name", SCRIPTED)
def test_every_class_of_a_view_is_prefixed_and_has_a_look_in_its_own_sheet(name):
    used, looks = set(), set(re.findall(r"\.(cl[\w-]*)", stylesheet(name)))
    for path in scripts(name):
        text = path.read_text(encoding="utf-8")
        named = re.findall(r'class: ["`]([^"`$]+)', text)
        assert all(one == "cl" or one.startswith("cl-") for words in named for one in words.split()), path
        if path.parent.name != "kit":  # what the kit's parts need, the kit's sheets have
            used |= set(re.findall(r'["\s](cl-[\w-]+)(?=["\s])', text))
    assert used and used - looks - NAMES_ONLY == set()


def test_requests_have_the_same_colours_in_pictures_and_in_the_page():
    python, page = ((VIZ / "kit" / name).read_text(encoding="utf-8") for name in ("looks.py", "looks.js"))
    (here,), (there,) = (re.findall(r"NUM_COLOURS = (\d+)", text) for text in (python, page))
    categories = [name for name in palette() if re.fullmatch(r"r\d", name)]
    assert int(here) == int(there) == len(categories)
    assert [request_colour(number) for number in range(7)] == [palette()[f"r{number % 6}"] for number in range(7)]


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme):
    """Text 4.5:1, graphics 3:1, on our own grounds and on JupyterLab's."""
    colours = palette(theme)
    grounds = [colours["card"], colours["well"], "#ffffff" if theme == "light" else "#212121"]
    for ground in grounds:
        assert {
            name: contrast(colours[name], ground) for name in ("ink", "soft") if contrast(colours[name], ground) < 4.5
        } == {}
        graphics = ["accent", "faint", "r0", "r1", "r2", "r3", "r4", "r5"]
        assert {name: contrast(colours[name], ground) for name in graphics if contrast(colours[name], ground) < 3} == {}
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5


def test_a_small_area_keeps_its_colour_in_a_picture():
    pale = np.random.default_rng(0).integers(150, 256, (60, 60, 3), dtype=np.uint8)  # many large areas of other colours
    pale[30, 30] = (196, 107, 156)
    figure = Figure(figsize=(3, 3), dpi=100)
    FigureCanvasAgg(figure)
    figure.add_axes((0, 0, 1, 1)).imshow(pale, interpolation="nearest")
    kept = np.asarray(Image.open(io.BytesIO(Picture.of(figure, "squares").data)).convert("RGB")).astype(int)
    assert np.abs(kept[152, 152] - (196, 107, 156)).max() < 24
