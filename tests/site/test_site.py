"""The site of one small lesson, built from its notebooks without running them, and opened from its folder."""

from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytest.importorskip("pdoc", reason="the extra `site` is not installed")

from course_lib.errors import CourseError
from course_lib.site import build_site
from course_lib.site.api import listed
from course_lib.viz import chart, chat_box, recomputation_triangle

ADDRESS = "https://example.org/owner/course"
COLAB = "https://colab.example.org/notebooks/01_small.ipynb"
MODULES = ("course_lib.kvcache",)
TEXT = """# 01 · Small

- **You will** write `x`.
- **Time** 5 minutes.
"""
LINKS = """## Links

[exercises](../exercises/01_small.ipynb#one) [source](../course_lib/lazy.py) [paper](https://example.org/paper)
and $x_1 < y$."""


def shown(view):
    """A cell that shows `view`."""
    data, metadata = view.bundle()
    data = {kind: value for kind, value in data.items() if "widget-view" not in kind}  # as a build keeps it
    return new_code_cell("view", outputs=[new_output("display_data", data=data, metadata=metadata)])


@pytest.fixture(scope="session")
def small_site(tmp_path_factory):
    """The folder of the site of one lesson with a view, a chart, and a token that looks like the end of a script."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "pyproject.toml").write_text(f'[project.urls]\nRepository = "{ADDRESS}"\n')
    (root / "README.md").write_text("# Course\n")
    view = recomputation_triangle(["</script>", "<b>", *"cdef"], [(0, 3), (0, 4), (0, 5)], prompt_tokens=3)
    lesson = [
        new_markdown_cell(TEXT),
        new_markdown_cell(f"**[Open this notebook in Colab]({COLAB})**"),
        new_markdown_cell(LINKS),
        shown(view),
        shown(chart("How long?", {"naive": ([1, 2], [1.0, 4.0])}, x="tokens", y="time", y_unit="s")),
        shown(chat_box(lambda messages: iter(()))),  # it needs Python
        new_code_cell('predict("01.x", "How many?", ["one", "two"])'),
    ]
    answer = new_code_cell("answer = 42", metadata={"nbgrader": {"solution": True, "grade_id": "x"}})
    exercise = [new_markdown_cell("# Exercises 01 · Small"), new_markdown_cell("## 01.x · One x"), answer]
    for folder, cells in (("notebooks", lesson), ("exercises", exercise), ("solutions", exercise)):
        (root / folder / "src").mkdir(parents=True)
        (root / folder / "src" / "01_small.py").write_text("")
        nbformat.write(new_notebook(cells=cells), root / folder / "01_small.ipynb")
    build_site(root, root / "site", modules=MODULES, report=print)
    return root / "site"


class Addresses(HTMLParser):
    """The addresses of a page: those that a reader follows, those that the browser fetches, and the places in it."""

    def __init__(self, path):
        super().__init__()
        self.followed, self.fetched, self.places = [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.places.add(value)
            elif name in ("href", "src", "srcset", "data", "action"):
                (self.followed if tag == "a" else self.fetched).append(value)


def test_every_address_leads_somewhere_and_no_page_fetches_from_elsewhere(small_site):
    pages = {path: Addresses(path) for path in small_site.rglob("*.html")}
    assert len(pages) == 6  # contents, three notebooks, the API's two
    for path, found in pages.items():
        inside = [one for one in found.followed if not one.startswith(("https://", "#"))]
        for address in [*inside, *(one for one in found.fetched if not one.startswith("data:"))]:
            file, _, place = unquote(address).partition("#")
            target = (path.parent / file).resolve()
            assert target.is_file() and target.is_relative_to(small_site), f"{path}: {address}"
            if place and file.startswith("../notebooks"):
                assert place in pages[target].places, f"{path}: {address}"
        assert {one[1:] for one in found.followed if one.startswith("#")} <= found.places
    for sheet in (small_site / "assets").rglob("*.css"):
        assert "url(" not in sheet.read_text() and "@import" not in sheet.read_text()


def test_links_of_a_notebook_lead_to_pages_and_to_the_repository(small_site):
    followed = Addresses(small_site / "notebooks" / "01_small.html").followed
    wanted = {"../exercises/01_small.html#one", f"{ADDRESS}/blob/main/course_lib/lazy.py", "https://example.org/paper"}
    assert wanted | {COLAB, f"{ADDRESS}/blob/main/notebooks/01_small.ipynb"} <= set(followed)


def test_pages_say_what_the_notebooks_say(small_site):
    contents = (small_site / "index.html").read_text()
    assert "write <code>x</code>" in contents and "5 minutes" in contents and "<code>01.x</code> One x" in contents
    lesson = (small_site / "notebooks" / "01_small.html").read_text()
    assert lesson.count("This is the picture of a view.") == 1
    assert "A guess needs Python" in lesson and "<math" in lesson and "<msub>" in lesson
    folded = '<summary>Show the answer</summary>\n<div class="input_area">'
    assert folded in (small_site / "solutions" / "01_small.html").read_text()
    assert folded not in (small_site / "exercises" / "01_small.html").read_text()
    api = (small_site / "api" / "course_lib" / "kvcache.html").read_text()
    assert 'id="BlockAllocator.allocate"' in api and "None if there are fewer; then nothing" in api


def test_arguments_in_a_docstring_become_a_list():
    docstring = "One.\n\nq, k: [n, d]. v: as\n    k.\nscale: a factor. Raises ShapeError.\n\n    code: 1"
    wanted = "One.\n\n- **q, k**: [n, d].\n- **v**: as k.\n- **scale**: a factor.\n\nRaises ShapeError.\n\n    code: 1"
    assert listed(docstring) == wanted


def test_views_and_charts_answer_without_python_and_are_pictures_without_javascript(small_site, browser):
    said, asked = [], []
    address = (small_site / "notebooks" / "01_small.html").as_uri()
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(600_000)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector(".cl-triangle")
    page.get_by_role("button", name="first step", exact=True).click()
    page.get_by_role("button", name="step", exact=True).click()
    assert page.inner_text(".cl-count") == "step 2 / 3"
    assert page.evaluate("document.querySelector('[data-view=triangle]').model.get('step')") == 2
    page.locator("[data-view=charts]").scroll_into_view_if_needed()
    page.wait_for_selector("[data-view=charts] .js-plotly-plot .main-svg", state="attached")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.documentElement.classList.contains('cl-dark')")
    context.close()
    assert said == [] and all(one.startswith(small_site.as_uri()) or one.startswith("data:") for one in asked)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("[data-view] img").count() == 2 and page.locator("[data-view] img").first.is_visible()
    context.close()


def test_a_folder_with_other_files_is_not_emptied(small_site, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CourseError, match="Name a folder that is new"):
        build_site(small_site.parent, tmp_path, modules=MODULES)
    assert (tmp_path / "mine.txt").exists()
