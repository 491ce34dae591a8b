"""Programs of one launch that meet at one place of memory, found in a recording. On a GPU they run in any order."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Clash:
    """Two programs of one launch at one element: both store it, or one stores what the other loads."""

    kernel: str
    tensor: str
    element: int
    """Of the flattened tensor."""
    index: tuple
    first: tuple
    second: tuple
    """The two program ids."""
    line: str
    """Of the second one's access."""
    loads: bool
    """Whether the second one loads it. If not, it stores it."""

    def __str__(self):
        at = f"[{', '.join(map(str, self.index))}]"
        line = f" in the line `{self.line}`" if self.line else ""
        if self.loads:
            return (
                f"{self.kernel}: program {_ids(self.second)} loads {self.tensor}{at}{line}, and program "
                f"{_ids(self.first)} stores it."
            )
        return f"{self.kernel}: programs {_ids(self.first)} and {_ids(self.second)} both store {self.tensor}{at}{line}."


def clashes(log):
    """The first Clash of each launch and tensor in the Accesses `log`. Atomics are left out: they are made for it."""
    found = []
    for number, launch in enumerate(log.launches):
        mine = [access for access in log if access.launch == number]
        for name in dict.fromkeys(access.tensor.name for access in mine if access.op == "store"):
            accesses = [access for access in mine if access.tensor.name == name]
            clash = _clash(accesses, launch.programs)
            if clash is not None:
                found.append(clash)
    return found


def _clash(accesses, programs):
    """The first Clash among the accesses to one tensor, those with a load before the others; or None."""
    numbers = {program: number for number, program in enumerate(programs)}
    tensor, both = accesses[0].tensor, None
    owner = np.full(tensor.numel, -1)
    for access in (a for a in accesses if a.op == "store"):
        me, before = numbers[access.program], owner[access.elements]
        if both is None:
            both = _at(access, (before >= 0) & (before != me), before, programs, loads=False)
        owner[access.elements] = me
    for access in (a for a in accesses if a.op == "load"):
        before = owner[access.elements]
        one = _at(access, (before >= 0) & (before != numbers[access.program]), before, programs, loads=True)
        if one is not None:
            return one
    return both


def _at(access, meets, before, programs, loads):
    if not meets.any():
        return None
    place = int(meets.argmax())
    element = int(access.elements[place])
    index = tuple(int(i) for i in np.unravel_index(element, access.tensor.shape)) if access.tensor.shape else ()
    first = programs[int(before[place])]
    return Clash(access.kernel, access.tensor.name, element, index, first, access.program, access.line, loads)


def _ids(program):
    return str(program[0]) if len(program) == 1 else str(program)
