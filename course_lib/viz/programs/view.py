"""What each program of a kernel loads and stores: the tensors as matrices of numbers, program by program or access by access."""

import math
from itertools import product

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count, keys, some, whole

OPS = ("load", "store", "atomic")
LINE = 32  # a tensor of one dimension and more numbers than this is drawn in several lines
ENDLESS = 1 << 60


def programs_view(record, *, by="program", tensors=None):
    """Left the programs of a kernel's grid, right the tensors: what is loaded and stored now, what was before, what is masked.

    record: `log.record()` of `course_lib.attention.record_accesses`, or the log itself, of which the first launch is drawn.
    by: what a step is: a "program", or one "access" of a program. tensors: names of those to draw; default all.
    A tensor is drawn with its first dimension down (of four dimensions the first two) and the others across. `selected` is
    (name, index in the flattened tensor) or None. Raises ParameterError for anything that does not fit together.
    """
    record = record.record() if hasattr(record, "record") else record
    keys("record", record, ("kernel", "grid", "tensors", "accesses"))
    if by not in ("program", "access"):
        raise ParameterError(f'by is {by!r}. A step of this view is one "program" or one "access" of a program.')
    known, tensors = record["tensors"], [tensors] if isinstance(tensors, str) else tensors
    missing = [name for name in tensors or () if name not in known]
    if missing:
        raise ParameterError(f"`{record['kernel']}` has no tensor {missing[0]!r}; it was given {', '.join(known)}.")
    accesses = [
        _checked(index, access, known, record["grid"])
        for index, access in enumerate(some("accesses", record["accesses"]))
    ]
    touched = {access["tensor"] for access in accesses}
    drawn = [_tensor(name, known[name]) for name in tensors or known if tensors or name in touched]
    places = {tensor["name"]: place for place, tensor in enumerate(drawn)}
    programs = [list(ids) for ids in product(*map(range, record["grid"]))]
    order = {tuple(ids): number for number, ids in enumerate(programs)}
    accesses = sorted(
        (a for a in accesses if a["tensor"] in places), key=lambda a: order[tuple(a["program"])]
    )  # as they ran
    lines = list(dict.fromkeys(access["line"] for access in accesses))
    packed = []
    for a in accesses:
        tensor = drawn[places[a["tensor"]]]
        cols = (
            tensor["cols"] if tensor["rows"] > 1 else ENDLESS
        )  # what is masked in a single line lies behind its end, not below
        packed.append([order[tuple(a["program"])], OPS.index(a["op"]), places[a["tensor"]], boxes(a["touched"], cols), boxes(a["masked"], cols),
                       a["lanes"], a["masked_lanes"], a["bytes"], lines.index(a["line"])])  # fmt: skip
    for place, tensor in enumerate(drawn):
        beyond = max((box[1] for a in packed if a[2] == place for box in a[4]), default=0) - tensor["rows"]
        tensor["over"] = max(0, min(beyond, max(1, tensor["rows"] // 5) if tensor["rows"] > 1 else 0))
        wide = max((box[3] for a in packed if a[2] == place for box in a[4] if box[0] == 0), default=0) - tensor["cols"]
        tensor["aside"] = max(0, min(wide, tensor["cols"])) if tensor["rows"] == 1 else 0
    steps = (
        [[a[0], at, at + 1] for at, a in enumerate(packed)] if by == "access" else _by_program(packed, len(programs))
    )
    if not steps:
        raise ParameterError(
            "None of the tensors that are to be drawn is touched by any program. Leave `tensors` out to see all."
        )
    data = {
        "title": "What each program loads and stores",
        "subtitle": f"{record['kernel']}, {count(len(programs), 'program')}",
        "first": 1, "last": len(steps), "by": by, "grid": list(record["grid"]), "programs": programs,
        "tensors": drawn, "accesses": packed, "lines": lines, "steps": steps,
        "columns": ["step", "program", "what", "bytes loaded", "bytes stored", "lanes masked", "loaded so far", "stored so far"],
    }  # fmt: skip
    data["say"] = [
        _words(data, step, _hatched(drawn, accesses[begin:end])) for step, (_, begin, end) in enumerate(steps, 1)
    ]
    return ProgramsView(data)


class ProgramsView(View):
    """See `programs_view`."""

    name = "programs"
    noun = "view of programs"

    def check_selected(self, selected):
        if selected is None:
            return None
        sizes = {tensor["name"]: tensor["numel"] for tensor in self.data["tensors"]}
        if (
            isinstance(selected, (list, tuple))
            and len(selected) == 2
            and type(selected[1]) is int
            and 0 <= selected[1] < sizes.get(selected[0], 0)
        ):
            return list(selected)
        raise ParameterError(
            f"selected = {selected!r} is no number of a tensor; there are {', '.join(f'{name} with {n:,}' for name, n in sizes.items())}. "
            "Give (name, index in the flattened tensor), or None for no selection."
        )

    def _rows(self, step):
        rows, loaded, stored = [], 0, 0
        for number in range(1, step + 1):
            now = sums(self.data, number)
            loaded, stored = loaded + now["loaded"], stored + now["stored"]
            rows.append(
                [
                    number,
                    ids(self.data, number),
                    now["what"],
                    now["loaded"],
                    now["stored"],
                    now["masked"],
                    loaded,
                    stored,
                ]
            )
        return rows

    def _poster(self):
        return max(1, round(0.62 * self.last))  # at rest, some programs are done, some to come

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)


def boxes(runs, cols):
    """Runs [start, end) of a flattened matrix of `cols` columns -> its rectangles [row, row end, column, column end)."""
    pieces = []
    for start, end in runs:
        row, first = divmod(start, cols)
        if first and first + end - start > cols:  # the rest of a row
            pieces.append([row, row + 1, first, cols])
            start, row, first = (row + 1) * cols, row + 1, 0
        whole_rows = (end - start) // cols if first == 0 else 0
        if whole_rows:
            pieces.append([row, row + whole_rows, 0, cols])
            start, row = start + whole_rows * cols, row + whole_rows
        if end > start:
            pieces.append([row, row + 1, first, first + end - start])
    merged = []
    for piece in pieces:
        if merged and merged[-1][1] == piece[0] and merged[-1][2:] == piece[2:]:
            merged[-1][1] = piece[1]
        else:
            merged.append(piece)
    return merged


def sums(data, step):
    """What one step does: bytes loaded and stored, lanes masked, and `what` in words."""
    begin, end = data["steps"][step - 1][1:]
    loaded, stored, masked = {}, {}, 0
    for _, op, place, _, _, _, hidden, nbytes, _ in data["accesses"][begin:end]:
        name = data["tensors"][place]["name"]
        for into, ops in ((loaded, ("load", "atomic")), (stored, ("store", "atomic"))):
            if OPS[op] in ops:
                into[name] = into.get(name, 0) + nbytes
        masked += hidden
    what = "; ".join(f"{verb} {', '.join(names)}" for verb, names in (("loads", loaded), ("stores", stored)) if names)
    return {
        "loaded": sum(loaded.values()),
        "stored": sum(stored.values()),
        "masked": masked,
        "what": what or "nothing",
        "by_name": (loaded, stored),
    }


def ids(data, step):
    """The program of a step as it is written: 3, or (0, 3)."""
    program = data["programs"][data["steps"][step - 1][0]]
    return str(program[0]) if len(program) == 1 else f"({', '.join(map(str, program))})"


def _checked(index, access, tensors, grid):
    keys(
        f"accesses[{index}]",
        access,
        ("program", "op", "tensor", "touched", "masked", "lanes", "masked_lanes", "bytes", "line"),
    )
    if access["tensor"] not in tensors or access["op"] not in OPS:
        raise ParameterError(
            f"accesses[{index}] is a {access['op']!r} of {access['tensor']!r}; it has to be one of {', '.join(OPS)} and of a tensor "
            f"that the kernel was given: {', '.join(tensors)}."
        )
    if len(access["program"]) != len(grid) or not all(0 <= at < n for at, n in zip(access["program"], grid)):
        raise ParameterError(
            f"accesses[{index}] is of program {access['program']}, which the grid {list(grid)} does not have."
        )
    whole(f"accesses[{index}]['bytes']", access["bytes"])
    size = math.prod(tensors[access["tensor"]]["shape"])
    if any(not 0 <= start < end <= size for start, end in access["touched"]):
        raise ParameterError(
            f"accesses[{index}] touches {access['touched'][:4]} of {access['tensor']}, which has the numbers 0 to {size - 1:,}."
        )
    return access


def _tensor(name, tensor):
    """A tensor as it is drawn: a matrix of `rows` by `cols`."""
    shape = [whole(f"shape of {name}", n) for n in tensor["shape"]]
    numel = math.prod(shape)
    kept = len(shape) - 2 if len(shape) > 3 else 1
    cols = (
        math.prod(shape[kept:])
        if len(shape) > 1
        else numel
        if numel <= LINE
        else 1 << math.ceil(math.log2(1.4 * math.sqrt(numel)))
    )
    cols = max(1, cols)
    unit, worth = (
        (max(1, shape[1]) if kept > 1 else 1),
        (cols if len(shape) == 1 else 1),
    )  # rows to one number in the margin, and what it counts by
    return {"name": name, "shape": shape, "numel": numel, "rows": max(1, math.ceil(numel / cols)), "cols": cols, "bytes": numel * tensor["itemsize"],
            "unit": unit, "worth": worth}  # fmt: skip


def _by_program(packed, programs):
    """[program, first access, end] of every program, of those without an access too."""
    steps, at = [], 0
    for program in range(programs):
        begin = at
        while at < len(packed) and packed[at][0] == program:
            at += 1
        steps.append([program, begin, at])
    return steps


def _hatched(drawn, accesses):
    """{tensor: (lanes that are masked, how many of their places are in the picture, how many of those are not touched either)}."""
    found = {}
    for name in dict.fromkeys(access["tensor"] for access in accesses if access["masked_lanes"]):
        tensor, mine = (
            next(t for t in drawn if t["name"] == name),
            [access for access in accesses if access["tensor"] == name],
        )
        end = (tensor["rows"] + tensor["over"]) * tensor["cols"] + tensor["aside"]
        places = {
            at for access in mine for first, last in access["masked"] for at in range(max(0, first), min(last, end))
        }
        touched = (
            {at for access in mine for first, last in access["touched"] for at in range(first, last)}
            if places
            else set()
        )
        found[name] = sum(access["masked_lanes"] for access in mine), len(places), len(places - touched)
    return found


def _unseen(name, lanes, places, hatched):
    """What of the masked lanes cannot be seen in the picture, in brackets; or nothing."""
    return (
        f" (outside of {name}, so not drawn)" if not places else f" ({hatched:,} hatched)" if hatched != lanes else ""
    )


def _words(data, step, masked):
    now = sums(data, step)
    if data["by"] == "access":
        _, op, place, _, _, lanes, hidden, nbytes, line = data["accesses"][data["steps"][step - 1][1]]
        verb, name = (
            {"load": "loads", "store": "stores", "atomic": "loads and stores"}[OPS[op]],
            data["tensors"][place]["name"],
        )
        told = (
            f", {hidden:,} of {count(lanes, 'lane')} masked{_unseen(name, *masked[name])}"
            if hidden
            else f" with {count(lanes, 'lane')}"
        )
        words = [["strong", f"Program {ids(data, step)}"], ["", f" {verb} {count(nbytes, 'byte')} of {name}{told}."]]
        return words + ([["", " "], ["code", data["lines"][line]]] if data["lines"][line] else [])
    told = [
        f"{verb} " + ", ".join(f"{nbytes:,} bytes of {name}" for name, nbytes in found.items())
        for verb, found in zip(("loads", "stores"), now["by_name"])
        if found
    ]
    told += ["stores nothing"] * (len(told) == 1 and not now["stored"])
    hidden = f" {count(now['masked'], 'lane')} {'is' if now['masked'] == 1 else 'are'} masked" if now["masked"] else ""
    of = [f"{found[0]:,} of {name}{_unseen(name, *found)}" for name, found in masked.items()]
    hidden += f": {', '.join(of)}." if len(of) > 1 or of and of[0].endswith(")") else "." if hidden else ""
    return [
        ["strong", f"Program {ids(data, step)}"],
        ["", f" {' and '.join(told) or 'touches none of these tensors'}.{hidden}"],
    ]
