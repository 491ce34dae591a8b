"""The files of a view, joined: one module text for Jupyter, one self-contained page for anywhere else."""

import html
import json
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def stylesheet():
    """The one stylesheet of all views."""
    return (HERE / "theme.css").read_text(encoding="utf-8")


@cache
def esm(name):
    """player.js and the view's own .js as one module without imports: nothing is fetched, nothing is built."""
    player = (HERE / "player.js").read_text(encoding="utf-8")
    view = (HERE / f"{name}.js").read_text(encoding="utf-8")
    return player + re.sub(r'^import .* from "\./player\.js";\n', "", view, flags=re.MULTILINE)


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
