"""A notebook as the HTML of a page: nbconvert with the site's template, math as MathML, links that lead somewhere."""

import base64
import hashlib
import re
import struct
from pathlib import Path, PurePosixPath

from jinja2 import pass_context
from latex2mathml.converter import convert as mathml
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

TEMPLATES = Path(__file__).parent / "templates"
PICTURE = re.compile(r'src="data:image/png;base64,([^"]+)"')
SECTION = re.compile(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', flags=re.DOTALL)
COLAB_LINK = re.compile(r"\*\*\[Open this notebook in Colab\]\(([^)]*)\)\*\*.*")


class Renderer(IPythonRenderer):
    """nbconvert's, with links as the site has them and formulas that a browser draws without a script."""

    def __init__(self, link_to):
        super().__init__(escape=False)
        self.link_to = link_to

    def link(self, text, url, title=None):
        return super().link(text, self.link_to(url), title)

    def inline_math(self, body):
        return mathml(body)

    def block_math(self, body):
        return mathml(body, display="block")


class PageExporter(HTMLExporter):
    """A notebook as an HTML fragment. link_to: a function from the address of a link to the site's."""

    def __init__(self, link_to):
        super().__init__(template_name="notebook", extra_template_basedirs=[str(TEMPLATES)])
        self.link_to = link_to

    @pass_context
    def markdown2html(self, context, source):
        return MarkdownWithMath(renderer=Renderer(self.link_to)).render(source)


class Links:
    """Where the links of the notebooks lead on the site. pages: the paths of its notebooks below the checkout."""

    def __init__(self, pages, address):
        self.pages, self.source, self.exporters = set(pages), f"{address}/blob/main/", {}

    def of(self, folder):
        """The function for notebooks in `folder`: a notebook of the site to its page, other files to the repository."""

        def link_to(url):
            if re.match(r"[a-z]+:|#|$", url):
                return url
            path, hash_, anchor = url.partition("#")
            parts = []
            for part in (PurePosixPath(folder) / path).parts:
                parts = parts[:-1] if part == ".." else [*parts, part]
            target = "/".join(parts)
            if target in self.pages:
                return "../" + target.removesuffix(".ipynb") + ".html" + hash_ + anchor
            return self.source + target + hash_ + anchor

        return link_to

    def exporter(self, folder):
        """The exporter for notebooks in `folder`, made once."""
        if folder not in self.exporters:
            self.exporters[folder] = PageExporter(self.of(folder))
        return self.exporters[folder]


def without_colab(notebook):
    """Takes out the cells that only Colab needs; returns the address of the notebook there, or None."""
    address, cells = None, []
    for cell in notebook.cells:
        if found := COLAB_LINK.fullmatch(cell.source.strip()):
            address = found[1]
        elif not cell.source.startswith("# On Colab this cell installs the course."):
            cells.append(cell)
    notebook.cells = cells
    return address


def pictures_to_files(text, folder, where):
    """Writes the PNG files that lie in the HTML `text` to `folder`, each once; returns the HTML that names them.

    where: the folder as the page names it.
    """

    def named(match):
        data = base64.b64decode(match[1])
        name = f"{hashlib.sha256(data).hexdigest()[:16]}.png"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        height = struct.unpack(">I", data[20:24])[0] // 2  # drawn at twice the size; with it, no text moves later
        return f'loading="lazy" height="{height}" src="{where}/{name}"'

    return PICTURE.sub(named, text)


def sections(text):
    """[(id, title)] of the headings of the second level."""
    return [(name, re.sub(r"<[^>]+>", "", title).strip()) for name, title in SECTION.findall(text)]
