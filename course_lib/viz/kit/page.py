"""The files of a view, joined: one module text for Jupyter, one self-contained page for anywhere else."""

import html
import json
import re
from functools import cache
from pathlib import Path

KIT = Path(__file__).parent


@cache
def stylesheet():
    """The one stylesheet of all views."""
    return (KIT / "theme.css").read_text(encoding="utf-8")


@cache
def esm(name):
    """player.js and the view's own .js as one module without imports: nothing is fetched, nothing is built.

    What it imports from another view's .js stands in a function of its own, so that their names do not meet.
    """
    view, parts = _source(name), ""
    for names, other in re.findall(r'^import (\{.*\}) from "\.\./(\w+)/view\.js";\n', view, flags=re.MULTILINE):
        inside = re.sub(r"^export default .*\n|^export ", "", _without_imports(_source(other)), flags=re.MULTILINE)
        parts += f"const {names} = (() => {{\n{inside}return {names};\n}})();\n"
    return (KIT / "player.js").read_text(encoding="utf-8") + parts + _without_imports(view)


def _source(name):
    return (KIT.parent / name / "view.js").read_text(encoding="utf-8")


def _without_imports(text):
    return re.sub(r'^import .* from "\.\./\w+/\w+\.js";\n', "", text, flags=re.MULTILINE)


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>
{css}
body {{ margin: 0; padding: 24px; background: #eef2f5; }} body.cl-dark {{ background: #0c1217; }} body > main {{ max-width: 1120px; margin: auto; }}
@media (max-width: 600px) {{ body {{ padding: 8px; }} }}
</style></head>
<body><main id="view"><noscript>{words}</noscript></main>
<script type="application/json" id="state">{state}</script>
<script type="module">
{esm}
const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.body.classList.toggle("cl-dark", dark.matches);
dark.addEventListener("change", follow);
follow();
const model = plainModel(JSON.parse(document.getElementById("state").textContent));
globalThis.view = {{ model }};
view.remove = shown.render({{ model, el: document.getElementById("view") }});
</script></body></html>
"""


def bare_page(view):
    """One self-contained HTML file (str) that draws `view` with the same files as Jupyter does, without any server."""
    state = json.dumps({"data": view.data, "step": view.step, "selected": view.selected}, ensure_ascii=False)
    return PAGE.format(
        title=html.escape(view.data["title"]),
        css=stylesheet(),
        words=html.escape(view.words()),
        state=state.replace("<", "\\u003c"),  # a token may read "</script>"
        esm=esm(view.name),
    )
