"""Still pictures: the stylesheet's light palette in matplotlib, PNG with alternative text, and the saved HTML form."""

import base64
import html
import io
import re
import struct
import textwrap
import warnings
from dataclasses import dataclass
from functools import cache

from course_lib.errors import CourseError

from .page import theme_sheet

WIDTH = 9.2  # inches: 920 px at notebook width, drawn at twice that
SHOWN_DPI, DRAWN_DPI = 100, 200


@cache
def palette(theme="light"):
    """{name: "#rrggbb"} from theme.css, so that picture and view cannot drift apart. theme: "light" or "dark"."""
    light, dark = re.findall(r"\.cl \{(.*?)\n\}", theme_sheet(), flags=re.DOTALL)[:2]
    found = re.findall(r"--cl-([\w-]+):[^;]*?(#[0-9a-f]{6})\)*;", light if theme == "light" else dark)
    return dict(found)


@dataclass(frozen=True)
class Picture:
    """A PNG that says in words what it shows. data: the PNG; alt: the words; width, height: in CSS pixels."""

    data: bytes
    alt: str
    width: int
    height: int

    @classmethod
    def of(cls, figure, alt):
        """Draws a matplotlib figure into a picture."""
        from PIL import Image  # comes with matplotlib

        with warnings.catch_warnings():
            # a token may hold any character; one that the font lacks is drawn as a box
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            figure.canvas.draw()
        out = io.BytesIO()
        drawn = Image.frombuffer("RGBA", figure.canvas.get_width_height(), figure.canvas.buffer_rgba()).convert("RGB")
        # notebooks are committed: a third of the size, and small areas keep their colour
        few = drawn.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(out, format="PNG", optimize=True)
        data = out.getvalue()
        width, height = (side * SHOWN_DPI // DRAWN_DPI for side in struct.unpack(">II", data[16:24]))
        return cls(data, alt, width, height)

    @property
    def metadata(self):
        return {"alt": self.alt, "width": self.width, "height": self.height}

    def save(self, path):
        """Writes the PNG to `path`."""
        with open(path, "wb") as file:
            file.write(self.data)

    def _repr_mimebundle_(self, **kwargs):
        return {"image/png": base64.b64encode(self.data).decode(), "text/plain": self.alt}, {"image/png": self.metadata}

    def __repr__(self):
        return self.alt


def figure(height):
    """(Figure, Axes over all of it), in CSS pixels from the top left; width 920, the given height."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CourseError(
            "matplotlib is not installed, so no still picture can be drawn; the live view and its table work without. "
            "Install it with: pip install matplotlib"
        ) from error
    drawing = Figure(figsize=(WIDTH, height / SHOWN_DPI), dpi=DRAWN_DPI, facecolor=palette()["card"])
    FigureCanvasAgg(drawing)  # not pyplot: a learner's own figures stay as they are
    axes = drawing.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH * SHOWN_DPI), ylim=(height, 0))
    axes.axis("off")
    return drawing, axes


def write(axes, x, y, text, *, size=12, colour="ink", **kwargs):
    """Text at (x, y), size in CSS pixels; a "$" in a token stays a "$". Returns matplotlib's Text."""
    kwargs = {"va": "center", "ha": "left", "parse_math": False, **kwargs}
    return axes.text(x, y, text, fontsize=size * 72 / SHOWN_DPI, color=palette()[colour], **kwargs)


def box(axes, x, y, width, height, *, radius=0, **kwargs):
    """A rectangle, with round corners where radius (CSS pixels) is over 0."""
    # add_patch would look how far it reaches, and the limits of the axes stand
    return axes.add_artist(_shape(x, y, width, height, radius, kwargs))


def boxes(axes, places, width, height, *, radius=0, **kwargs):
    """Boxes of one size and look with their corners at `places`, [(x, y)], none of which touches another.

    They are one area of the picture, since matplotlib takes a millisecond for each hatched one.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    shapes = (_shape(x, y, width, height, radius, kwargs) for x, y in places)
    outlines = (shape.get_patch_transform().transform_path(shape.get_path()) for shape in shapes)
    return axes.add_artist(PathPatch(Path.make_compound_path(*outlines), **{"linewidth": 0, **kwargs}))


def _shape(x, y, width, height, radius, kwargs):
    from matplotlib.patches import FancyBboxPatch, Rectangle

    kwargs = {"linewidth": 0, **kwargs}
    if radius:
        return FancyBboxPatch((x, y), width, height, boxstyle=f"round,pad=0,rounding_size={radius}", **kwargs)
    return Rectangle((x, y), width, height, **kwargs)


def title(axes, data):
    """Title and subtitle at the top, as in the live view."""
    head = write(axes, 22, 26, data["title"], size=17, weight="bold")
    write(axes, 22 + text_width(axes, head) + 14, 26, data["subtitle"], size=14, colour="soft")


def legend(axes, entries):
    """What each mark means, on a line under the title.

    entries: [(text, look)], look being a dict for `box` or one character.
    """
    x = 22
    for text, look in entries:
        if isinstance(look, str):
            write(axes, x + 8, 53, look, size=12, ha="center")
        else:
            box(axes, x, 47, 16, 12, radius=3, **look)
        x += 22 + text_width(axes, write(axes, x + 22, 53, text, size=12.5, colour="soft")) + 18


def broken(words):
    """The words of a step as the lines in which `say` writes them."""
    return textwrap.wrap(words, 126)


def say(axes, y, words, size=13):
    """The words of a step at the foot of a picture, broken into lines; returns how many."""
    lines = broken(words)
    write(axes, 22, y, "\n".join(lines), size=size, va="top", linespacing=1.45)
    return len(lines)


def hatched(colour, tint=None, density=5):
    """The look of a hatched area for `box`; colour, tint: "#rrggbb"."""
    return {"facecolor": tint or colour + "1f", "edgecolor": colour, "hatch": "/" * density, "linewidth": 0.9}


def text_width(axes, text):
    """Width of a drawn text in CSS pixels."""
    return text.get_window_extent(axes.figure.canvas.get_renderer()).width * SHOWN_DPI / axes.figure.dpi


def static_html(picture, words, columns, rows):
    """The form that a saved notebook shows without a kernel: picture, words, table. It needs no style sheet."""
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    source = base64.b64encode(picture.data).decode()
    picture_style = "max-width:100%;height:auto"
    return (
        f'<figure style="margin:0"><img alt="{html.escape(picture.alt)}" width="{picture.width}" '
        f'style="{picture_style}" src="data:image/png;base64,{source}">'
        f"<figcaption>{html.escape(words)}</figcaption></figure>"
        f"<details><summary>The same as a table</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table></details>"
    )
