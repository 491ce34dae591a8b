"""Where names of earlier versions are now, so that saved code goes on running.

A workbook keeps a learner's code with its import lines. The files of the library have moved since, and names from
inside `course_lib.practice` now come from its module `play`. `renewed` rewrites such lines when code is loaded and when
it is saved.
"""

import ast

from course_lib.practice import play

PRACTICE, PLAY = "course_lib.practice", "course_lib.practice.play"

MODULES = {
    "course_lib.attention.accesses": "course_lib.attention.recording.accesses",
    "course_lib.attention.backward": "course_lib.attention.reference.backward",
    "course_lib.attention.decode_reads": "course_lib.attention.recording.decode_reads",
    "course_lib.attention.elsewhere": "course_lib.attention.kernels.compiled_for",
    "course_lib.attention.flash": "course_lib.attention.kernels.flash",
    "course_lib.attention.interpreting": "course_lib.attention.recording.second_python",
    "course_lib.attention.masks": "course_lib.attention.reference.masks",
    "course_lib.attention.meter": "course_lib.attention.reference.meter",
    "course_lib.attention.online": "course_lib.attention.kernels.online",
    "course_lib.attention.paged": "course_lib.attention.kernels.paged",
    "course_lib.attention.recorder": "course_lib.attention.recording.recorder",
    "course_lib.attention.reference": "course_lib.attention.reference.forward",
    "course_lib.attention.store": "course_lib.attention.kernels.store",
    "course_lib.attention.twins": "course_lib.attention.reference.twins",
    "course_lib.canary": "course_lib.machine.triton_probe",
    "course_lib.chrome_trace": "course_lib.trace.chrome",
    "course_lib.device": "course_lib.machine.device",
    "course_lib.engine.batches": "course_lib.batching.batches",
    "course_lib.engine.dynamic": "course_lib.batching.dynamic",
    "course_lib.engine.static": "course_lib.batching.static",
    "course_lib.mended": "course_lib.machine.triton_patch",
    "course_lib.reading": "course_lib.source.show",
    "course_lib.taking": "course_lib.source.extract",
}
"""Modules that have a new name."""

NAMES = {
    "course_lib.engine": dict.fromkeys(
        "BatchReport DynamicBatcher count_batches run_dynamic run_static simulate_batches waits".split(),
        "course_lib.batching",
    ),
    "course_lib.engine.request": {"RequestOutput": "course_lib.engine"},
    "course_lib.practice.timelines": {"Scheduler": "course_lib.engine"},
}
"""{module: {name: the module that has it now}}, for names that left a module which is still there."""

IN_PLAY = {
    "lesson04_allocator.cost": "allocation_cost",
    "lesson04_gather.pool": "numbered_pool",
    "lesson05_tables.memory": "allocator_with_letters",
    "lesson05_tables.write": "write_letters",
    "lesson06_backward.saved": "saved_by_forward",
    "lesson09_batcher.serve": "serve_batcher",
    "lesson10_loop.serve": "serve_loop",
    "lesson10_step.scheduler_of": "scheduler_of_step",
    "lesson11_choosing.scheduler_of": "scheduler_of_choice",
    "lesson11_choosing.serve": "serve_choice",
    "lesson11_line.request": "request_from",
    "lesson11_memory.Memory": "SwapMemory",
    "lesson11_memory.engine_with": "engine_with_swap",
    "lesson11_room.scheduler_with": "scheduler_with_preemption",
    "seeded.seeded": "seeded_cache",
    "seeded_ledgers.seeded": "seeded_ledger",
    "tiny_text.Adding": "AddingModel",
    "tiny_text.Memory": "AddingCache",
    "tiny_text.push": "run_layers",
}
"""What `course_lib.practice.MODULE.NAME` is called in play, where it is not its old name."""


def renewed(source):
    """The code with import lines of earlier versions rewritten. Other lines stay, also those of no valid Python."""
    try:
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and not node.level]
    except (SyntaxError, ValueError):
        return source
    lines = source.split("\n")
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        found = [now(node.module, alias.name) for alias in node.names]
        if found == [(node.module, alias.name) for alias in node.names]:
            continue
        line = "; ".join(_import(*where, alias) for where, alias in zip(found, node.names))
        before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
        after = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
        lines[node.lineno - 1 : node.end_lineno] = [before + line + after]
    return "\n".join(lines)


def now(module, name):
    """(module, name) of what `from module import name` meant when the code was written."""
    if home := NAMES.get(module, {}).get(name):
        return home, name
    if module.startswith(f"{PRACTICE}.") and module != PLAY:
        in_play = IN_PLAY.get(f"{module.removeprefix(f'{PRACTICE}.')}.{name}", name)
        return (PLAY, in_play) if in_play in play.__all__ else (module, name)
    if as_module := MODULES.get(f"{module}.{name}"):
        parent, _, last = as_module.rpartition(".")
        return parent, last
    if module == "course_lib.attention.reference" and name in ("backward", "forward", "masks", "meter", "twins"):
        return module, name  # a package now, which has these
    return MODULES.get(module, module), name


def _import(module, name, alias):
    wanted = alias.asname or alias.name
    return f"from {module} import {name}" + (f" as {wanted}" if wanted != name else "")
