"""The table and the picture of the packages in docs/architecture.md, made from the imports in the code.

    python -m course_lib.authoring.architecture            writes both
    python -m course_lib.authoring.architecture --check    only says whether they are up to date; exit code 1 if not

The picture carries the data that it was drawn from, as text in the PNG file. So a check compares data and not pixels,
which depend on the fonts of the machine.
"""

import argparse
import ast
import io
import json
import re
import sys
import textwrap
from pathlib import Path

from course_lib.checkout import find_root

from .layers import LAYERS, modules, package_imports

DOCUMENT, PICTURE = Path("docs/architecture.md"), Path("docs/architecture.png")
BEGIN, END = "<!-- packages: begin -->", "<!-- packages: end -->"
COMMAND = "python -m course_lib.authoring.architecture"

NUM_BASE_LAYERS = 2
"""The first layers, which are drawn as a band at the bottom: many packages use them."""
COLUMNS = {"trace": 2, "viz": 2, "models": 0, "models.training": 0, "authoring": 0, "workload": 2, "site": 2}
"""The column of a package in the picture, 0 to 2; default 1."""
CENTRES, WIDTH, HEIGHT = (4.9, 16.5, 28.1), 8.8, 0.68
"""The middle of each column, and the size of a box, in the units of the drawing: 33 wide, a row is 1 high."""
INK, LINE = "#1b2733", "#44719b"


def read_packages(root):
    """[{"package", "text", "imports"}] in the order of LAYERS. text: the first sentence of the package's docstring."""
    files = modules(root)
    found = []
    for package, imports in package_imports(root).items():
        text = ast.get_docstring(ast.parse(files[f"course_lib.{package}"].read_text(encoding="utf-8"))) or ""
        first = re.match(r".*?[.](?=\s|$)", " ".join(text.split()))
        found.append({"package": package, "text": first[0] if first else "", "imports": imports})
    return found


def table(packages):
    """The packages as a table in Markdown, the lowest last."""
    lines = ["| package | what it holds | imports from |", "|---|---|---|"]
    for one in reversed(packages):
        imports = ", ".join(f"`{name}`" for name in one["imports"])
        lines.append(f"| `{one['package']}` | {one['text']} | {imports} |")
    return "\n".join(lines)


def direct(packages):
    """(package, package) for each import that does not also go through a third package: the arrows of the picture."""
    imports = {one["package"]: set(one["imports"]) for one in packages}
    reached = {}
    for one in packages:  # the lowest packages come first
        reached[one["package"]] = imports[one["package"]].union(*(reached.get(name, ()) for name in one["imports"]))
    return [
        (package, name)
        for package, names in imports.items()
        for name in sorted(names)
        if not any(name in reached.get(other, ()) for other in names if other != name)
    ]


def draw(packages):
    """The picture as the bytes of a PNG file."""
    from matplotlib.figure import Figure

    layers = {package: number for number, layer in enumerate(LAYERS) for package in layer}
    text_of = {one["package"]: one["text"] for one in packages}
    upper = [package for package in text_of if layers[package] >= NUM_BASE_LAYERS]
    base = [package for package in text_of if layers[package] < NUM_BASE_LAYERS]
    rows = sorted({layers[package] for package in upper})
    place = {package: (COLUMNS.get(package, 1), rows.index(layers[package])) for package in upper}
    if len({*place.values()}) < len(place):
        raise ValueError("Two packages stand in one place of the picture: give one of them another column in COLUMNS.")

    figure = Figure(figsize=(11, 0.85 * len(rows) + 1.9), dpi=110, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 33), ylim=(-2.0, len(rows) + 0.05))
    axes.axis("off")
    for package, (column, row) in place.items():
        text = textwrap.fill(text_of[package], 49, max_lines=2, placeholder=" ...")
        _box(axes, CENTRES[column], row + 0.15, WIDTH, HEIGHT, package, text, "#e8f1fb")
    for points in _routes([arrow for arrow in direct(packages) if {*arrow} <= {*place}], place):
        xs, ys = zip(*points)
        axes.plot(xs, ys, color=LINE, lw=1.4, solid_joinstyle="round")
        axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=dict(arrowstyle="-|>", color=LINE, lw=1.4))
    axes.text(0.6, -0.2, "Used by many packages, so without arrows:", fontsize=8.5, color=INK, style="italic")
    step = 32 / len(base)
    for number, package in enumerate(base):
        text = textwrap.fill(text_of[package], 26, max_lines=5, placeholder=" ...")
        _box(axes, 0.5 + step * (number + 0.5), -1.75, step - 0.4, 1.25, package, text, "#f4f1e8")
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Description": json.dumps(packages), "Software": None})
    return file.getvalue()


def _box(axes, x, y, width, height, name, text, colour):
    """A box with its lower edge at y and its middle at x."""
    from matplotlib.patches import FancyBboxPatch

    style = dict(boxstyle="round,pad=0,rounding_size=0.2", facecolor=colour, edgecolor="#5b6b7b", linewidth=1)
    axes.add_patch(FancyBboxPatch((x - width / 2, y), width, height, **style))
    axes.text(x, y + height - 0.08, name, ha="center", va="top", fontsize=11, weight="bold", color=INK)
    axes.text(x, y + height - 0.33, text, ha="center", va="top", fontsize=7.5, color=INK, linespacing=1.15)


def _routes(arrows, place):
    """A list of points for each arrow: straight down where no box is between, else through the gap beside a column.

    place: {package: (column, row)}, rows counted from the bottom.
    """
    lanes, ends = {}, {}
    for source, target in arrows:
        (c0, r0), (c1, r1) = place[source], place[target]
        if c0 == c1 and not any(c == c0 and r1 < r < r0 for c, r in place.values()):
            yield [(CENTRES[c0], r0 + 0.15), (CENTRES[c1], r1 + 0.15 + HEIGHT)]
            continue
        gap = min(c0, c1) if c0 != c1 else min(c0, 1)  # the gap to the right of this column
        lane = lanes[gap] = lanes.get(gap, -1) + 1
        x = CENTRES[gap] + WIDTH / 2 + 0.32 + 0.27 * lane
        points = []
        for column, row in ((c0, r0), (c1, r1)):
            side = 1 if column <= gap else -1
            number = ends[gap, row] = ends.get((gap, row), -1) + 1  # so that no two lines of a row meet
            beside = 0.14 * ((number + 1) // 2) * (-1) ** number  # 0, below, above, ...
            points.append((CENTRES[column] + side * WIDTH / 2, row + 0.15 + HEIGHT / 2 + beside))
        (x0, y0), (x1, y1) = points
        yield [(x0, y0), (x, y0), (x, y1), (x1, y1)]


def drawn_from(path):
    """The packages that a picture was drawn from; None for a file that does not say."""
    from PIL import Image

    with Image.open(path) as picture:
        kept = picture.text.get("Description")
    return json.loads(kept) if kept else None


def with_table(document, packages):
    """The document with its table made anew."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(packages)}\n{END}{after}"


def check(root):
    """The problems, one sentence each; [] when the table and the picture are up to date."""
    packages, document = read_packages(root), (root / DOCUMENT).read_text(encoding="utf-8")
    problems = []
    if with_table(document, packages) != document:
        problems.append(f"The table of packages in {DOCUMENT} is not up to date. Run `{COMMAND}`.")
    if not (root / PICTURE).exists() or drawn_from(root / PICTURE) != packages:
        problems.append(f"{PICTURE} is not up to date. Run `{COMMAND}`.")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="only say whether the table and the picture are up to date"
    )
    args = parser.parse_args()
    root = find_root()
    if args.check:
        problems = check(root)
        print("\n".join(problems) or "The table and the picture are up to date.")
        sys.exit(bool(problems))
    packages = read_packages(root)
    document = (root / DOCUMENT).read_text(encoding="utf-8")
    (root / DOCUMENT).write_text(with_table(document, packages), encoding="utf-8")
    (root / PICTURE).write_bytes(draw(packages))


if __name__ == "__main__":
    main()
