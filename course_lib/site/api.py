"""The pages of the API: a page for each public package, from its docstrings, by pdoc."""

import re
from importlib import import_module

import pdoc
import pdoc.render

from .pages import TEMPLATES

PACKAGES = "models attention kvcache decoding batching engine parallel workload serving trace viz".split()
MODULES = ("course_lib", *(f"course_lib.{name}" for name in PACKAGES))
ITEM = re.compile(r"[a-z_]\w*(, [a-z_]\w*)*(?=: )")


def write_api(folder, site, modules):
    """Writes the pages of `modules` to `folder`."""
    for name in modules:
        module = import_module(name)
        for public in module.__all__:  # names of a package arrive on first use; pdoc looks for what is there
            vars(module)[public] = getattr(module, public)
    pdoc.render.configure(docformat="markdown", template_directory=TEMPLATES / "api")
    pdoc.render.env.globals["site"] = site
    pdoc.render.env.filters["listed"] = listed
    pdoc.pdoc(*modules, output_directory=folder)  # of a package with `__all__`, pdoc takes only what that names


def listed(docstring):
    """A docstring with its arguments, `name: what it is` at the beginning of a line, as a list in Markdown."""
    lines, inside = [], False
    for line in docstring.splitlines():
        if found := ITEM.match(line):
            lines += ([] if inside else [""]) + [f"- **{found[0]}**{line[found.end() :]}"]
            inside = True
        elif inside and line and not line.startswith(" "):
            lines += ["", line]
            inside = False
        else:
            lines.append(line)
    return "\n".join(lines)
