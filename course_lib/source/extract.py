"""Copies a function or class out of a notebook or module, with all that it uses, so that it runs somewhere else.

What it uses are imports, helper functions and classes, and plain constants. The workbook keeps a learner's answer this
way, and the recorder runs a kernel in another Python process.
"""

import ast
import builtins
import dis
import inspect
import linecache
import math
import sys
import textwrap
import types

from .show import function_of

_READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}


class NotAlone(Exception):
    """The code cannot run outside its notebook; the message says why."""


def revive(source, name, label):
    """Runs `source` in a new module and returns the object that it calls `name`. Raises what the code raises."""
    filename = f"<{label}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)  # for tracebacks
    module = types.ModuleType(label.replace(" ", "_").replace(".", "_"))
    module.__file__ = filename
    sys.modules[module.__name__] = module  # inspect and pickle look classes up here
    exec(compile(source, filename, "exec"), module.__dict__)
    return getattr(module, name)


def with_needs(core, name):
    """(name, source) of a function or class, with the imports, constants and helpers that it uses before it.

    core: the function or class. name: what the learner calls it. The name returned is that of its definition. Raises
    NotAlone where the source cannot be found, or uses something that cannot be written as code.
    """
    world = namespace_of(core)
    name, text = definition(core, name)
    parts, imports = {name: text}, {}
    gather(text, world, parts, imports)
    own = parts.pop(name)
    blocks = ["\n".join(imports.values()), *parts.values(), own]
    return name, "\n\n\n".join(b.strip("\n") for b in blocks if b.strip()) + "\n"


def namespace_of(core):
    """The global names that the code sees: those of its module, or of the notebook."""
    found = getattr(core, "__globals__", None)
    if found is None:
        found = getattr(sys.modules.get(getattr(core, "__module__", "")), "__dict__", None)
    shell = running_shell()
    if shell is not None and (found is None or getattr(core, "__module__", "") == "__main__"):
        return shell.user_ns
    return found if found is not None else {}


def running_shell():
    """The IPython shell of this process, or None. Does not import IPython."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def definition(core, name):
    """(name, text) of the definition of `core`: a def, a class, or `name = lambda`. Raises NotAlone."""
    try:
        text = textwrap.dedent(inspect.getsource(core))
    except (OSError, TypeError):  # a class in a notebook, before Python 3.13
        text = newest_cell_definition(name) or definition_around_methods(core, name)
        if text is None:
            raise NotAlone(f"the text of `{name}` was not found. Define it in a cell of the notebook.") from None
    try:
        nodes = ast.parse(text).body
    except SyntaxError:
        nodes = []
    if len(nodes) == 1 and (defined := defines(nodes[0])):
        return defined, text
    raise NotAlone("it is part of a larger expression. Give it a name with `def`, in a cell.")


def defines(node):
    """The name that a statement defines, or None if it is no definition."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return node.name
    if (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Lambda)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
    ):
        return node.targets[0].id
    return None


def definition_around_methods(core, name):
    """The text of a class, found in the cell of one of its methods, which know their file; or None.

    This is for kernels that keep no history of their cells.
    """
    for method in vars(core).values() if inspect.isclass(core) else ():
        lines = linecache.getlines(getattr(getattr(method, "__code__", None), "co_filename", ""))
        if found := newest_definition("".join(lines), name):
            return found
    return None


def newest_cell_definition(name):
    """The newest definition of `name` in the notebook's history, or None."""
    shell = running_shell()
    for cell in reversed(shell.user_ns.get("In", [])) if shell is not None else ():
        cell = "\n".join(line for line in cell.split("\n") if not line.lstrip().startswith(("%", "!")))
        if found := newest_definition(cell, name):
            return found
    return None


def newest_definition(code, name):
    """The text of the last definition of `name` in a piece of code, with its decorators; or None."""
    try:
        nodes = ast.parse(code).body
    except SyntaxError:
        return None
    for node in reversed(nodes):
        if defines(node) == name:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            return "\n".join(code.split("\n")[first - 1 : node.end_lineno])
    return None


def gather(text, world, parts, imports):
    """Adds to `parts` and `imports` all that `text` uses from `world`, and what that uses in turn.

    world, parts, imports: {name: value}, {name: source}, {name: import line}.
    """
    for name in outside_names(text, world):
        if name in parts or name in imports:
            continue
        if name not in world:
            raise NotAlone(f"it uses `{name}`, which is not defined.")
        value = function_of(world[name])
        if line := import_line(name, world[name]) or import_line(name, value):
            imports[name] = line
        elif isinstance(value, (types.FunctionType, type)):
            own_name, helper = definition(value, name)
            parts[name] = helper if own_name == name else f"{helper.rstrip()}\n{name} = {own_name}"
            gather(helper, world, parts, imports)
            parts[name] = parts.pop(name)  # moved to the end: what a helper needs must stand above it
        elif (literal := as_literal(value)) is not None:
            parts[name] = f"{name} = {literal}"
        elif type(value).__name__ == "constexpr" and (literal := as_literal(value.value)) is not None:
            parts[name] = f"{name} = tl.constexpr({literal})"
            imports["tl"] = "from triton import language as tl"
        elif type(value).__name__ == "dtype" and type(value).__module__.startswith("triton."):
            parts[name] = f"{name} = tl.dtype({value.name!r})"
            imports["tl"] = "from triton import language as tl"
        else:
            raise NotAlone(
                f"it uses `{name}` of your notebook, an object of type {type(value).__name__} that cannot be "
                "written as code. Pass it as an argument, or make it inside."
            )


def outside_names(text, world=()):
    """The global names that `text` reads, sorted. A builtin counts only where `world` has another object of its name.

    world: {name: value}.
    """
    module = compile(text, "<saved>", "exec")
    own = {step.argval for step in dis.get_instructions(module) if step.opname == "STORE_NAME"}
    used, codes = set(), [module]
    while codes:
        code = codes.pop()
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
        steps = list(dis.get_instructions(code))
        of_class_body = {step.argval for step in steps if step.opname == "STORE_NAME"}
        used |= {step.argval for step in steps if step.opname in _READS} - of_class_body
    return sorted(
        name for name in used - own if not name.startswith("__") and (not hasattr(builtins, name) or hides(name, world))
    )


def hides(name, world):
    """Whether `name`, that of a builtin, is an object of the notebook's own."""
    return name in world and import_line(name, function_of(world[name])) is None


def import_line(name, value):
    """The line that imports `value` as `name`, or None where no module has it."""
    if isinstance(value, types.ModuleType):
        if value.__name__ == "__main__":
            return None
        parent, _, last = value.__name__.rpartition(".")
        if name == value.__name__:
            return f"import {name}"
        if parent:
            return f"from {parent} import {last}" + (f" as {name}" if name != last else "")
        return f"import {value.__name__} as {name}"
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or module == "__main__" or module not in sys.modules:
        return None
    spec = getattr(sys.modules[module], "__spec__", None)
    if spec is None and module != "builtins":
        return None  # a module made while running: no import finds it
    for home in (module.split(".")[0], module):  # torch.Tensor rather than torch._tensor.Tensor
        for attribute in (name, getattr(value, "__name__", name)):
            if getattr(sys.modules.get(home), attribute, None) is value:
                return f"from {home} import {attribute}" + (f" as {name}" if name != attribute else "")
    return None


def as_literal(value):
    """A plain constant as Python code, or None for any other value."""
    if type(value) is float and not math.isfinite(value):
        return f"float('{value}')"
    try:
        text = repr(value)
        same = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError):
        return None
    return text if type(same) is type(value) and same == value and len(text) <= 2000 else None
