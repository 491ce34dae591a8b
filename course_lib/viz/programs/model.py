"""The data of the view of programs: tensors as matrices, accesses as rectangles of them, steps, and their words.

An access is [program, op (a place in OPS), tensor, boxes touched, boxes masked, lanes, lanes masked, bytes, line].
"""

import math
from itertools import product

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count, program_ids
from course_lib.viz.kit.inputs import keys, some, whole

OPS = ("load", "store", "atomic")
VERBS = {"load": "loads", "store": "stores", "atomic": "loads and stores"}
LOADS, STORES = ("load", "atomic"), ("store", "atomic")
LINE = 32  # a tensor of one dimension and more numbers than this is drawn in several lines
ENDLESS = 1 << 60


def programs_data(record, by, tensors):
    """What the browser draws from. Raises ParameterError for anything that does not fit together."""
    keys("record", record, ("kernel", "grid", "tensors", "accesses"))
    if by not in ("program", "access"):
        raise ParameterError(f'by is {by!r}. A step of this view is one "program" or one "access" of a program.')
    known, tensors = record["tensors"], [tensors] if isinstance(tensors, str) else tensors
    missing = [name for name in tensors or () if name not in known]
    if missing:
        raise ParameterError(f"`{record['kernel']}` has no tensor {missing[0]!r}; it was given {', '.join(known)}.")
    accesses = [_checked(at, one, known, record["grid"]) for at, one in enumerate(some("accesses", record["accesses"]))]
    touched = {access["tensor"] for access in accesses}
    drawn = [_tensor(name, known[name]) for name in tensors or known if tensors or name in touched]
    programs = [list(ids) for ids in product(*map(range, record["grid"]))]
    order = {tuple(ids): number for number, ids in enumerate(programs)}
    names = {tensor["name"] for tensor in drawn}
    accesses = [access for access in accesses if access["tensor"] in names]
    accesses.sort(key=lambda access: order[tuple(access["program"])])  # as they ran
    lines = list(dict.fromkeys(access["line"] for access in accesses))
    packed = [_packed(access, order, drawn, lines) for access in accesses]
    for place, tensor in enumerate(drawn):
        tensor["over"], tensor["aside"] = _beyond(tensor, [a[4] for a in packed if a[2] == place])
    each = [[access[0], at, at + 1] for at, access in enumerate(packed)]
    steps = each if by == "access" else _by_program(packed, len(programs))
    if not steps:
        raise ParameterError(
            "None of the tensors that are to be drawn is touched by any program. Leave `tensors` out to see all."
        )
    columns = ["step", "program", "what", "bytes loaded", "bytes stored", "lanes masked"]
    data = {
        "title": "What each program loads and stores",
        "subtitle": f"{record['kernel']}, {count(len(programs), 'program')}",
        "first": 1,
        "last": len(steps),
        "by": by,
        "grid": list(record["grid"]),
        "programs": programs,
        "tensors": drawn,
        "accesses": packed,
        "lines": lines,
        "steps": steps,
        "columns": [*columns, "loaded so far", "stored so far"],
    }
    masked = [_masked_lanes(drawn, accesses[begin:end]) for _, begin, end in steps]
    tell = _access_words if by == "access" else _program_words
    data["say"] = [tell(data, step, one) for step, one in enumerate(masked, 1)]
    return data


def boxes(runs, cols):
    """Runs [start, end) of a flattened matrix of `cols` columns as rectangles [row, row end, column, column end)."""
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
    """What one step does: bytes loaded and stored, lanes masked, `what` in words, and bytes by names of tensors."""
    begin, end = data["steps"][step - 1][1:]
    loaded, stored, masked = {}, {}, 0
    for _, op, place, _, _, _, hidden, nbytes, _ in data["accesses"][begin:end]:
        name = data["tensors"][place]["name"]
        for into, ops in ((loaded, LOADS), (stored, STORES)):
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
    return program_ids(data["programs"][data["steps"][step - 1][0]])


def _checked(index, access, tensors, grid):
    wanted = ("program", "op", "tensor", "touched", "masked", "lanes", "masked_lanes", "bytes", "line")
    keys(f"accesses[{index}]", access, wanted)
    name = access["tensor"]
    if name not in tensors or access["op"] not in OPS:
        raise ParameterError(
            f"accesses[{index}] is a {access['op']!r} of {name!r}; it has to be one of {', '.join(OPS)}, of a tensor "
            f"that the kernel was given: {', '.join(tensors)}."
        )
    if len(access["program"]) != len(grid) or not all(0 <= at < n for at, n in zip(access["program"], grid)):
        raise ParameterError(
            f"accesses[{index}] is of program {access['program']}, which the grid {list(grid)} does not have."
        )
    whole(f"accesses[{index}]['bytes']", access["bytes"])
    size = math.prod(tensors[name]["shape"])
    if any(not 0 <= start < end <= size for start, end in access["touched"]):
        raise ParameterError(
            f"accesses[{index}] touches {access['touched'][:4]} of {name}, which has the numbers 0 to {size - 1:,}."
        )
    return access


def _tensor(name, tensor):
    """A tensor as it is drawn: a matrix of `rows` by `cols`.

    unit: rows to one number in the margin; worth: what this number counts by.
    """
    shape = [whole(f"shape of {name}", n) for n in tensor["shape"]]
    numel = math.prod(shape)
    kept = len(shape) - 2 if len(shape) > 3 else 1  # dimensions that go down
    if len(shape) > 1:
        cols = max(1, math.prod(shape[kept:]))
    else:
        cols = max(1, numel if numel <= LINE else 1 << math.ceil(math.log2(1.4 * math.sqrt(numel))))
    return {
        "name": name,
        "shape": shape,
        "numel": numel,
        "rows": max(1, math.ceil(numel / cols)),
        "cols": cols,
        "bytes": numel * tensor["itemsize"],
        "unit": max(1, shape[1]) if kept > 1 else 1,
        "worth": cols if len(shape) == 1 else 1,
    }


def _packed(access, order, drawn, lines):
    """An access as the browser is given it."""
    place, tensor = next((at, one) for at, one in enumerate(drawn) if one["name"] == access["tensor"])
    cols = tensor["cols"] if tensor["rows"] > 1 else ENDLESS  # past the end of a single line: at its right, not below
    touched, masked = boxes(access["touched"], cols), boxes(access["masked"], cols)
    lanes = [access["lanes"], access["masked_lanes"], access["bytes"], lines.index(access["line"])]
    return [order[tuple(access["program"])], OPS.index(access["op"]), place, touched, masked, *lanes]


def _beyond(tensor, masked):
    """(rows below, columns aside) that are drawn past the tensor's end, for masked boxes that lie there."""
    below = max((box[1] for one in masked for box in one), default=0) - tensor["rows"]
    aside = max((box[3] for one in masked for box in one if box[0] == 0), default=0) - tensor["cols"]
    if tensor["rows"] > 1:
        return max(0, min(below, max(1, tensor["rows"] // 5))), 0
    return 0, max(0, min(aside, tensor["cols"]))


def _by_program(packed, programs):
    """[program, first access, end] of every program, of those without an access too."""
    steps, at = [], 0
    for program in range(programs):
        begin = at
        while at < len(packed) and packed[at][0] == program:
            at += 1
        steps.append([program, begin, at])
    return steps


def _masked_lanes(drawn, accesses):
    """{tensor: (masked lanes, how many of their places are in the picture, how many of those nothing touches)}."""
    found = {}
    for name in dict.fromkeys(access["tensor"] for access in accesses if access["masked_lanes"]):
        tensor = next(one for one in drawn if one["name"] == name)
        mine = [access for access in accesses if access["tensor"] == name]
        end = (tensor["rows"] + tensor["over"]) * tensor["cols"] + tensor["aside"]
        places = {at for one in mine for first, last in one["masked"] for at in range(max(0, first), min(last, end))}
        touched = {at for one in mine for first, last in one["touched"] for at in range(first, last) if places}
        found[name] = sum(one["masked_lanes"] for one in mine), len(places), len(places - touched)
    return found


def _unseen(name, lanes, places, hatched):
    """What of the masked lanes cannot be seen in the picture, in brackets; or nothing."""
    if not places:
        return f" (outside of {name}, so not drawn)"
    return f" ({hatched:,} hatched)" if hatched != lanes else ""


def _access_words(data, step, masked):
    _, op, place, _, _, lanes, hidden, nbytes, line = data["accesses"][data["steps"][step - 1][1]]
    name = data["tensors"][place]["name"]
    told = f" with {count(lanes, 'lane')}"
    if hidden:
        told = f", {hidden:,} of {count(lanes, 'lane')} masked{_unseen(name, *masked[name])}"
    what = f" {VERBS[OPS[op]]} {count(nbytes, 'byte')} of {name}{told}."
    code = [["", " "], ["code", data["lines"][line]]] if data["lines"][line] else []
    return [["strong", f"Program {ids(data, step)}"], ["", what], *code]


def _program_words(data, step, masked):
    now = sums(data, step)
    told = [
        f"{verb} " + ", ".join(f"{nbytes:,} bytes of {name}" for name, nbytes in found.items())
        for verb, found in zip(("loads", "stores"), now["by_name"])
        if found
    ]
    told += ["stores nothing"] * (len(told) == 1 and not now["stored"])
    what = " and ".join(told) or "touches none of these tensors"
    return [["strong", f"Program {ids(data, step)}"], ["", f" {what}.{_masked_words(now['masked'], masked)}"]]


def _masked_words(number, masked):
    """The sentence for masked lanes: which tensors they are of, where that is not plain from the picture."""
    if not number:
        return ""
    of = [f"{found[0]:,} of {name}{_unseen(name, *found)}" for name, found in masked.items()]
    details = f": {', '.join(of)}" if len(of) > 1 or of[0].endswith(")") else ""
    return f" {count(number, 'lane')} {'is' if number == 1 else 'are'} masked{details}."
