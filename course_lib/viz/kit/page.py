"""The files of a view, joined: one module for Jupyter, one self-contained page for anywhere else.

A view's script is `<view>/view.js`. It imports other scripts of `viz/`, and these import others. Here all of them
become one module without imports, each in a function of its own, so that their names cannot meet: nothing is fetched,
and no build step is needed.
"""

import html
import json
import re
from functools import cache
from pathlib import Path

from course_lib.errors import CourseError

VIZ = Path(__file__).parents[1]
KIT_SHEETS = ("theme.css", "frame.css", "parts.css", "looks.css")

IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', flags=re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", flags=re.MULTILINE)


@cache
def scripts(name):
    """The scripts of a view, its own last: each comes after those that it imports. Raises CourseError for a circle."""
    found = []

    def add(path, on_the_way=()):
        if path in on_the_way:
            names = " -> ".join(str(one.relative_to(VIZ)) for one in (*on_the_way, path))
            raise CourseError(f"These scripts import each other in a circle: {names}. Move what both need to a third.")
        for _, other in IMPORT.findall(path.read_text(encoding="utf-8")):
            add((path.parent / other).resolve(), (*on_the_way, path))
        if path not in found:
            found.append(path)

    add(VIZ / name / "view.js")
    return found


@cache
def esm(name):
    """The scripts of a view as the text of one module, whose default export is the view."""
    return "".join(map(_in_a_function, scripts(name))) + f"export default {_variable(scripts(name)[-1])}.view;\n"


def _in_a_function(path):
    """A script as `const $folder_file = (() => { ...; return { its exports }; })();`."""
    source = path.read_text(encoding="utf-8")

    def taken(match):
        names = re.sub(r"(\w+) as (\w+)", r"\1: \2", " ".join(match[1].split()))
        return f"const {{ {names.strip().rstrip(',')} }} = {_variable((path.parent / match[2]).resolve())};\n"

    body = re.sub(r"^export ", "", IMPORT.sub(taken, source), flags=re.MULTILINE)
    return f"const {_variable(path)} = (() => {{\n{body}return {{ {', '.join(EXPORT.findall(source))} }};\n}})();\n"


def _variable(path):
    return f"${path.parent.name}_{path.stem}"


def theme_sheet():
    """The colours and sizes of all views, as CSS."""
    return (VIZ / "kit" / "theme.css").read_text(encoding="utf-8")


@cache
def stylesheet(name):
    """The style sheets of a view: those of the kit, then those of the views whose scripts it uses, its own last."""
    folders = dict.fromkeys(path.parent for path in scripts(name) if path.parent.name != "kit")
    sheets = [VIZ / "kit" / sheet for sheet in KIT_SHEETS] + [folder / "view.css" for folder in folders]
    return "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
{css}
body {{ margin: 0; padding: 24px; background: #eef2f5; }}
body.cl-dark {{ background: #0c1217; }}
body > main {{ max-width: 1120px; margin: auto; }}
@media (max-width: 600px) {{ body {{ padding: 8px; }} }}
</style></head>
<body><main id="view"><noscript>{words}</noscript></main>
<script type="application/json" id="state">{state}</script>
{scripts}<script type="module">
{esm}
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.body.classList.toggle("cl-dark", dark.matches);
dark.addEventListener("change", follow);
follow();
const model = $kit_model.plainModel(JSON.parse(document.getElementById("state").textContent));
globalThis.view = {{ model }};
view.remove = {variable}.view.render({{ model, el: document.getElementById("view") }});
</script></body></html>
"""


def bare_page(view):
    """One self-contained HTML file (str) that draws `view` with the same files as Jupyter does, without any server."""
    state = json.dumps({"data": view.data, "step": view.step, "selected": view.selected}, ensure_ascii=False)
    return PAGE.format(
        title=html.escape(view.data["title"]),
        css=stylesheet(view.name),
        words=html.escape(view.words()),
        scripts="".join(f"<script>{text}</script>\n" for text in view.page_scripts()),
        state=state.replace("<", "\\u003c"),  # a token may be "</script>"
        esm=esm(view.name) + _in_a_function(VIZ / "kit" / "model.js"),
        variable=_variable(scripts(view.name)[-1]),
    )
