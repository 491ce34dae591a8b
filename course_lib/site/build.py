"""`course site`: every page of the site, from the notebooks as they are committed."""

import re
import shutil
from pathlib import Path

import jinja2
import nbformat
from markupsafe import Markup
from nbconvert.filters.markdown_mistune import MarkdownWithMath

from course_lib.checkout import lessons, repository
from course_lib.errors import CourseError

from .api import MODULES, write_api
from .catalogue import FOLDERS, entry, parts
from .pages import TEMPLATES, Links, Renderer, pictures_to_files, sections, without_colab
from .views import model_script, place_views, write_scripts

NAME = "LLM inference, page by page"
LEAD = (
    "A course that builds an LLM inference engine: from the naive decoding loop to a KV cache, a paged allocator, "
    "Triton attention kernels, continuous batching and a server. Each idea is predicted, built, looked "
    "at step by step and measured."
)
KINDS = {"notebooks": "Lesson", "exercises": "Exercises", "solutions": "Solutions"}
BANNERS = {
    "exercises": "Nothing runs on this page. Checks and hints need Python: open this notebook in JupyterLab (make lab) "
    "or in Colab, write your answers and run the checks.",
    "solutions": "One answer to each exercise, folded: try your own first. The results are those of a run of this "
    "notebook.",
}
ASSETS = Path(__file__).parent / "assets"
MARK = ".course-site"  # in every folder that holds a site, so that no other folder is emptied


def build_site(root, out, names=(), *, modules=MODULES, report=print):
    """Writes the site of the checkout at `root` to the folder `out`, which is made, or made anew.

    names: the lessons, by number or name; default all. modules: those with a page of the API. `report` gets a
    line at the end. Raises CourseError when `out` has something else in it, or a notebook is missing.
    """
    out = Path(out)
    _emptied(out)
    notebooks = _notebooks(root, names)
    address = repository(root)
    entries = [entry(name, found, root) for name, found in notebooks.items()]
    site = {"name": NAME, "lead": LEAD, "repository": address, "parts": parts(entries), "kinds": KINDS}
    links = Links([f"{folder}/{name}.ipynb" for name, found in notebooks.items() for folder in found], address)
    used, alive = set(), 0
    for number, one in enumerate(entries):
        around = entries[number - 1] if number else None, entries[number + 1] if number + 1 < len(entries) else None
        for folder, notebook in notebooks[one.name].items():
            text, views = _page(site, links, one, around, folder, notebook, out)
            _write(out / folder / f"{one.name}.html", text)
            used |= views
            alive += text.count('data-view="')
    _write_assets(out, used)
    if picture := _picture(root, out):
        site |= picture
    _write(out / "index.html", _template("contents.html.j2").render(site=site))
    write_api(out / "api", site, modules)
    report(f"{len(entries)} lessons and {alive} live views are in {out}: open {out / 'index.html'}.")


def _emptied(out):
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise CourseError(
            f"{out} holds files that `course site` has not written, and would lose them. Name a folder that is new."
        )
    shutil.rmtree(out, ignore_errors=True)
    _write(out / MARK, "Made by `course site`, which empties this folder when it runs again.\n")


def _notebooks(root, names):
    """{lesson: {folder: notebook}}, in order."""
    found = {}
    for lesson in lessons(root, names):
        paths = [lesson.target] if lesson.stub is None else [lesson.stub, lesson.target]
        for path in paths:
            if not path.exists():
                raise CourseError(f"{path.relative_to(root)} is missing. Make it with `course build {lesson.name}`.")
            found.setdefault(lesson.name, {})[path.parent.name] = nbformat.read(path, as_version=4)
    return {name: found[name] for name in sorted(found) if FOLDERS[0] in found[name]}


def _page(site, links, one, around, folder, notebook, out):
    """(HTML of the page of `notebook`, the names of the views on it)."""
    colab = without_colab(notebook)
    views = place_views(notebook, say=folder == "notebooks")
    resources = {"fold_answers": folder == "solutions"}
    body, _ = links.exporter(folder).from_notebook_node(notebook, resources)
    body = pictures_to_files(body, out / "assets" / "pictures", "../assets/pictures")
    before, after = [
        {"url": f"../{folder}/{other.name}.html", "text": f"{other.number} {other.title}"}
        if other and folder in other.pages
        else None
        for other in around
    ]
    text = _template("page.html.j2").render(
        site=site,
        entry=one,
        kind=KINDS[folder],
        here=folder,
        body=body,
        sections=sections(body),
        styles=["kit", *sorted(views)] if views else [],
        scripts=[*(["plotly"] if "charts" in views else []), *sorted(views)],
        colab=colab,
        source=f"{site['repository']}/blob/main/{folder}/{one.name}.ipynb",
        banner=BANNERS.get(folder),
        before=before,
        after=after,
    )
    return text, views


def _write_assets(out, views):
    write_scripts(views, out / "assets" / "views")
    for sheet in ASSETS.glob("*.css"):
        shutil.copy(sheet, out / "assets")
    _write(out / "assets" / "site.js", model_script() + (ASSETS / "site.js").read_text(encoding="utf-8"))


def _picture(root, out):
    """The picture of the README's head for the first page, with the words that the README has for it."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^!\[(.*)\]\((docs/.*\.png)\)$", readme, flags=re.MULTILINE)
    if not found:
        return {}
    shutil.copy(root / found[2], out / "assets")
    return {"picture": Path(found[2]).name, "picture_alt": found[1]}


def _template(name):
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["lines"] = _lines
    return environment.get_template(name)


def _lines(text):
    """The marks of a lesson's head as HTML: `code`, *emphasis*."""
    rendered = MarkdownWithMath(renderer=Renderer(str)).render(text).strip()
    return Markup(rendered.removeprefix("<p>").removesuffix("</p>"))


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
