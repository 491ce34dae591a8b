"""Views on a page without Python: their state beside their picture, and their scripts as files of the site."""

import html
import re

from course_lib.viz.kit.kept import kept_in
from course_lib.viz.kit.page import KIT_SHEETS, VIZ, esm, stylesheet

# A picture whose view is not alive, and calls that do nothing without Python, each with what a reader should know.
STILL = "This is the picture of a view. The view itself answers where the notebook runs."
PREDICT = "A guess needs Python: run the lesson to make yours."
CHECK = "A check needs Python: run the notebook to check an answer of your own."
CALLS = ((r"predict\(", PREDICT), (r"(course_lib\.)?check\(", CHECK))


def place_views(notebook, *, say=True):
    """Puts into the outputs of `notebook` what the site shows of views; returns the names of the views, a set.

    say: whether a call that does nothing on a page is followed by a sentence that says so.
    """
    names = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            still = output.get("data", {}).get("text/html")
            if still is None:
                continue
            if kept := kept_in(output.metadata):
                names.add(kept[0])
                output.data["text/html"] = alive(*kept, still)
            elif "image/png" in output.data:
                output.data["text/html"] = still + note(STILL)
        for call, sentence in CALLS if say else ():
            if re.search(rf"^{call}", cell.source, flags=re.MULTILINE):
                cell.metadata["site_note"] = sentence
    return names


def alive(name, state, still):
    """A view as HTML. state: JSON text, which may hold "</script>"; still: what is shown until the view is there."""
    safe = state.replace("<", "\\u003c")
    return (
        f'<div class="view" data-view="{html.escape(name)}"><script type="application/json">{safe}</script>'
        f'<div class="still">{still}</div></div>'
    )


def note(sentence):
    return f'<p class="note">{html.escape(sentence)}</p>'


def write_scripts(names, folder):
    """Writes the script and the style sheet of each view to `folder`, and plotly's bundle where a chart needs it.

    They are scripts and no modules: from a file, browsers load no module. What the style sheets share is in kit.css.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kit = "\n".join((VIZ / "kit" / sheet).read_text(encoding="utf-8") for sheet in KIT_SHEETS)
    (folder / "kit.css").write_text(kit, encoding="utf-8")
    for name in sorted(names):
        body, _, view = esm(name).rpartition("export default ")
        script = f'(globalThis.courseViews ??= {{}})["{name}"] = (() => {{\n{body}return {view.strip()}\n}})();\n'
        (folder / f"{name}.js").write_text(script, encoding="utf-8")
        (folder / f"{name}.css").write_text(stylesheet(name).removeprefix(kit), encoding="utf-8")
    if "charts" in names:
        from plotly.offline import get_plotlyjs

        (folder / "plotly.js").write_text(get_plotlyjs(), encoding="utf-8")


def model_script():
    """The model that stands in for a widget's on a page without Jupyter, as a script: `plainModel(state)`."""
    return (VIZ / "kit" / "model.js").read_text(encoding="utf-8").replace("export function", "function")
