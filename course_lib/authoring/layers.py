"""The packages of course_lib in layers, and what their files import.

An import may only go to a package of an earlier layer, and LAYERS begins with what all may use. The imports are read
from the source text with `ast`; nothing is imported. tests/test_architecture.py and docs/architecture.md use this.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "course_lib"

# A package may import the packages of earlier layers, and no other package of its own layer. A name with a dot is a
# subpackage with a layer of its own: to train a model, the decoding loops are needed. Some names are single files.
LAYERS = (
    ("errors", "lazy"),
    ("checkout", "machine", "source", "recorded"),
    ("trace",),
    ("models",),
    ("parallel",),
    ("attention",),
    ("kvcache",),
    ("decoding",),
    ("engine", "models.training"),
    ("batching",),
    ("workload", "serving"),
    ("viz",),
    ("practice",),
    ("authoring", "lab"),
    ("teaching", "site"),
    ("cli",),
)

# Stricter than the layers: the views draw plain data, so they know traces and nothing that computes.
ONLY = {"viz": {"errors", "lazy", "trace"}}

# What must load without torch: the views, and the ledger, which is integers.
WITHOUT_TORCH = (
    "viz",
    "trace",
    "kvcache.allocator",
    "kvcache.block_table",
    "kvcache.prefix",
    "kvcache.manager",
    "kvcache.windowed",
)


@dataclass(frozen=True)
class Import:
    """One import: the file that has it, the line, and the module that is imported."""

    source: str
    line: int
    target: str

    def __str__(self):
        return f"{self.source}, line {self.line}, imports {self.target}"


def modules(root):
    """{module name: its file} of all Python files of course_lib. root: the checkout's folder."""
    found = {}
    for path in sorted((Path(root) / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read_imports(root):
    """Every import in course_lib, also those inside functions and those of other libraries (such as torch).

    `from package import name` counts as an import of the module that `name` is, or that the package's table for
    `lazily(...)` names for it. The table itself is no import. Imports under `if TYPE_CHECKING:` are left out.
    """
    files = modules(root)
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    homes = {name: lazy_table(name, tree) for name, tree in trees.items()}
    found = []
    for name, tree in trees.items():
        package = name if files[name].stem == "__init__" else name.rpartition(".")[0]
        for node in _statements(tree):
            if isinstance(node, ast.Import):
                found += [Import(name, node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(node, package)
                targets = {_home(f"{base}.{alias.name}", base, files, homes) for alias in node.names}
                found += [Import(name, node.lineno, target) for target in sorted(targets)]
    return found


_BLOCKS = (ast.stmt, ast.ExceptHandler, ast.match_case)


def _statements(tree):
    """All statements of a file but those under `if TYPE_CHECKING:`; no import is inside an expression."""
    waiting = [*tree.body]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, _BLOCKS)]


def _absolute(node, package):
    """The module of a `from ... import`, without leading dots."""
    if not node.level:
        return node.module
    parts = package.split(".")
    return ".".join(parts[: len(parts) - node.level + 1] + ([node.module] if node.module else []))


def _home(full, base, files, homes):
    """The module that `from base import name` imports. full: base and name, with a dot between."""
    if full in files:
        return full
    name = full.rpartition(".")[2]
    home = homes.get(base, {}).get(name, base)
    return home if home == base else _home(f"{home}.{name}", home, files, homes)


def lazy_table(module, tree):
    """{name: module} of a package whose names are imported on first use; {} of any other file."""
    for node in [getattr(statement, "value", None) for statement in tree.body]:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazily":
            package = node.args[0].value if isinstance(node.args[0], ast.Constant) else module  # otherwise __name__
            table = ast.literal_eval(node.args[1])
            return {name: f"{package}.{home}" for home, names in table.items() for name in names.split()}
    return {}


def inside(imports):
    """The imports of course_lib's own modules."""
    return [one for one in imports if one.target == PACKAGE or one.target.startswith(f"{PACKAGE}.")]


def package_of(module):
    """The package of a module: the longest name in LAYERS that it begins with; None for course_lib itself."""
    name = module.removeprefix(PACKAGE).removeprefix(".")
    fitting = [package for layer in LAYERS for package in layer if f"{name}.".startswith(f"{package}.")]
    if not fitting and name:
        raise LookupError(f"{module} is in no layer. Give its package a place in LAYERS, in {__name__}.")
    return max(fitting, key=len, default=None)


def layer_of(package):
    """The number of the layer that has the package, from 0."""
    return next(number for number, layer in enumerate(LAYERS) if package in layer)


def going_up(imports):
    """The imports that are not allowed by LAYERS or ONLY."""
    found = []
    for one in inside(imports):
        source, target = package_of(one.source), package_of(one.target)
        if source is None or target is None or source == target:
            continue
        if layer_of(target) >= layer_of(source) or target not in ONLY.get(source, {target}):
            found.append(one)
    return found


def needing_torch(imports):
    """{module: the way from it to torch} for each module of WITHOUT_TORCH that imports torch, directly or not."""
    to = {}
    for one in imports:
        to.setdefault(one.source, []).append(one.target)
    ways = {}
    for module in sorted(to):
        name = module.removeprefix(f"{PACKAGE}.")
        if any(f"{name}.".startswith(f"{free}.") for free in WITHOUT_TORCH):
            if way := _way_to_torch(module, to, {module}):
                ways[module] = way
    return ways


def _way_to_torch(module, to, seen):
    for target in to.get(module, ()):
        if target.partition(".")[0] == "torch":
            return [module, "torch"]
        if target not in seen:
            seen.add(target)
            if way := _way_to_torch(target, to, seen):
                return [module, *way]
    return None


def circles(imports):
    """The groups of files that import each other, directly or through others; each a sorted list of modules."""
    to, back = {}, {}
    for one in inside(imports):
        if one.source != one.target:
            to.setdefault(one.source, set()).add(one.target)
            back.setdefault(one.target, set()).add(one.source)
    found = []
    for module in sorted(to):
        group = _reached(module, to) & _reached(module, back)
        if group and sorted(group | {module}) not in found:
            found.append(sorted(group | {module}))
    return found


def _reached(module, to):
    """All modules that can be reached from this one in one import or more."""
    seen, waiting = set(), list(to.get(module, ()))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += to.get(name, ())
    return seen


def package_imports(root):
    """{package: the packages that it imports}, both in the order of LAYERS, for every package that has files."""
    found = {package_of(name): set() for name in modules(root) if package_of(name)}
    for one in inside(read_imports(root)):
        source, target = package_of(one.source), package_of(one.target)
        if source and target and source != target:
            found[source].add(target)
    in_order = [package for layer in LAYERS for package in layer]
    return {package: sorted(found[package], key=in_order.index) for package in in_order if package in found}
