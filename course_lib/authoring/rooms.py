"""The rooms of course_lib in their order, and what the files import.

An import may only go to a room of an earlier level in ORDER, which begins with what all may use. The imports are read
from the source text with `ast`; nothing is imported. tests/test_architecture.py and the picture in docs/ use this.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "course_lib"

# One level a line. A room may import the rooms of earlier levels, and no other room of its own level.
# A name with a dot is a part of a package that has its own place: training a model needs the decoding loops.
ORDER = (
    ("errors", "lazy"),
    ("checkout", "machine", "source", "recorded"),
    ("trace",),
    ("models",),
    ("attention",),
    ("kvcache",),
    ("decoding",),
    ("engine", "models.training"),
    ("batching", "workload"),
    ("viz",),
    ("practice",),
    ("authoring", "lab"),
    ("cli",),
)

# Stricter than the order: the views draw plain data, so they know traces and nothing that computes.
ONLY = {"viz": {"errors", "lazy", "trace"}}

# What must load without torch: the views, and the ledger, which is integers.
WITHOUT_TORCH = ("viz", "trace", "kvcache.allocator", "kvcache.block_table", "kvcache.prefix", "kvcache.manager")


@dataclass(frozen=True)
class Import:
    """One import: the file that asks, the line, and the module that is asked for."""

    source: str
    line: int
    target: str

    def __str__(self):
        return f"{self.source}, line {self.line}, imports {self.target}"


def modules(root):
    """{module name: its file} of all Python files of the package. root: the checkout's folder."""
    found = {}
    for path in sorted((Path(root) / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read_imports(root):
    """Every import in the package, also those inside functions and those of other packages (such as torch).

    `from package import name` counts as an import of the module that `name` is, or that the package's table for
    `lazily(...)` names as its home. The table itself is no import. Imports under `if TYPE_CHECKING:` are left out.
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


def _statements(tree):
    """All nodes of a file but those under `if TYPE_CHECKING:`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _absolute(node, package):
    """The module that `from ... import` names, without leading dots."""
    if not node.level:
        return node.module
    parts = package.split(".")
    return ".".join(parts[: len(parts) - node.level + 1] + ([node.module] if node.module else []))


def _home(full, base, files, homes):
    if full in files:
        return full
    name = full.rpartition(".")[2]
    home = homes.get(base, {}).get(name, base)
    return home if home == base else _home(f"{home}.{name}", home, files, homes)


def lazy_table(module, tree):
    """{name: module} of a package whose names arrive on first use; {} of any other file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazily":
            package = node.args[0].value if isinstance(node.args[0], ast.Constant) else module  # mostly `__name__`
            table = ast.literal_eval(node.args[1])
            return {name: f"{package}.{home}" for home, names in table.items() for name in names.split()}
    return {}


def inside(imports):
    """The imports of the package's own modules."""
    return [one for one in imports if one.target == PACKAGE or one.target.startswith(f"{PACKAGE}.")]


def room_of(module):
    """The room of a module: the longest name in ORDER that it begins with; None for the package itself."""
    name = module.removeprefix(PACKAGE).removeprefix(".")
    fitting = [room for level in ORDER for room in level if f"{name}.".startswith(f"{room}.")]
    if not fitting and name:
        raise LookupError(f"{module} belongs to no room. Give it a place in ORDER, in {__name__}.")
    return max(fitting, key=len, default=None)


def level_of(room):
    """The line of ORDER that holds the room, from 0; -1 for the package itself, which all may import."""
    return next((number for number, level in enumerate(ORDER) if room in level), -1)


def going_up(imports):
    """The imports that break the order of rooms, or ONLY."""
    found = []
    for one in inside(imports):
        source, target = room_of(one.source), room_of(one.target)
        if source is None or target is None or source == target:
            continue
        if level_of(target) >= level_of(source) or target not in ONLY.get(source, {target}):
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
    """All that can be reached from the module in one step or more."""
    seen, waiting = set(), list(to.get(module, ()))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += to.get(name, ())
    return seen


def room_imports(imports):
    """{room: the rooms that it imports, in their order}, for every room that has files."""
    found = {room_of(one.source): set() for one in imports if room_of(one.source)}
    for one in inside(imports):
        source, target = room_of(one.source), room_of(one.target)
        if source and target and source != target:
            found[source].add(target)
    in_order = [room for level in ORDER for room in level]
    return {room: sorted(found[room], key=in_order.index) for room in in_order if room in found}
