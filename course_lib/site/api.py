"""The pages of the API: a page for each public package, from its docstrings, by pdoc."""

import re
from importlib import import_module

import pdoc
import pdoc.render

from .pages import TEMPLATES

PACKAGES = "models attention kvcache decoding batching engine parallel workload serving trace viz".split()
MODULES = ("course_lib", *(f"course_lib.{name}" for name in PACKAGES))
NAMES = r"(?!default:)[a-z_][a-z0-9_]*(?:, [a-z_][a-z0-9_]*)*"
BREAK = re.compile(rf"(?:\n *|(?<=[.;]) )(?={NAMES}:\s)|(?:\n *|(?<=\.) )(?=Raises |Returns )")


def write_api(folder, site, modules):
    """Writes the pages of `modules` to `folder`."""
    for name in modules:
        module = import_module(name)
        for public in module.__all__:  # names of a package arrive on first use; pdoc looks for what is there
            vars(module)[public] = getattr(module, public)
    pdoc.render.configure(docformat="markdown", template_directory=TEMPLATES / "api")
    pdoc.render.env.globals["site"] = site
    pdoc.render.env.filters["listed"] = listed
    # without the modules inside of a package: what is public stands in its `__all__`
    pdoc.pdoc(*modules, r"!course_lib\..+\..+", output_directory=folder)


def listed(docstring):
    """A docstring in Markdown. Its arguments, `name: what it is` where a line or a sentence begins, become a list."""
    return "\n\n".join(map(_block, re.split(r"\n[ ]*\n", docstring)))


def _block(block):
    if re.match(r" {4}|[-|`>#]", block):  # code, a list, a table: it is Markdown already
        return block
    pieces = [" ".join(piece.split()) for piece in BREAK.split(block)]
    items = [re.sub(rf"^({NAMES}): ", r"- **\1**: ", piece) for piece in pieces]
    if not any(item.startswith("- ") for item in items):
        return block
    return "\n".join(item if item.startswith("- ") else f"\n{item}\n" for item in items).strip()
