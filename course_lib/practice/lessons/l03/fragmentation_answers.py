"""Answers to 03.fragmentation: right ones written differently, and wrong ones made of parts that can each be wrong."""

from .solutions.fragmentation import fragmentation


def fragmentation_by_slot(capacity, segments, needed):
    """Marks every slot with its use."""
    marks = [None] * capacity
    for s in segments:
        for i in range(s["reserved"]):
            marks[s["start"] + i] = "used" if i < s["used"] else "reserved" if i < s["final"] else "internal"
    start = 0
    while start < capacity:
        end = start
        while end < capacity and marks[end] is None:
            end += 1
        for slot in range(start, end):
            marks[slot] = "external" if end - start < needed else "free"
        start = max(end, start + 1)
    return {name: marks.count(name) for name in ("free", "external", "internal", "reserved", "used")}


def fragmentation_by_edges(capacity, segments, needed):
    holes = _holes(capacity, segments)
    external = sum(hole for hole in holes if hole < needed)
    return dict(
        used=sum(s["used"] for s in segments),
        reserved=sum(s["final"] - s["used"] for s in segments),
        internal=sum(s["reserved"] - s["final"] for s in segments),
        external=external,
        free=sum(holes) - external,
    )


def wrong(
    reserved=lambda s: s["final"] - s["used"],
    internal=lambda s: s["reserved"] - s["final"],
    used=lambda s: s["used"],
    end=lambda s: s["start"] + s["reserved"],
    small=lambda hole, needed, holes: hole < needed,
    first=True,
    last=True,
):
    """A wrong answer: the right one with one part replaced."""

    def answer(capacity, segments, needed):
        starts = [s["start"] for s in segments] + [capacity]
        ends = [0] + [end(s) for s in segments]
        holes = [start - edge for start, edge in zip(starts, ends)]
        holes = holes[0 if first else 1 : len(holes) if last else -1]
        external = sum(hole for hole in holes if small(hole, needed, holes))
        return {
            "used": sum(map(used, segments)),
            "reserved": sum(map(reserved, segments)),
            "internal": sum(map(internal, segments)),
            "external": external,
            "free": sum(holes) - external,
        }

    return answer


def in_pieces(capacity, segments, needed):
    """Cuts each hole into pieces of `needed` slots; the rest of it counts as external."""
    parts = fragmentation(capacity, segments, 0)
    parts["external"] = sum(hole % needed for hole in _holes(capacity, segments)) if needed else 0
    parts["free"] -= parts["external"]
    return parts


def _holes(capacity, segments):
    starts = [s["start"] for s in segments] + [capacity]
    ends = [0] + [s["start"] + s["reserved"] for s in segments]
    return [start - end for start, end in zip(starts, ends)]


def shares(capacity, segments, needed):
    return {name: slots / capacity for name, slots in fragmentation(capacity, segments, needed).items()}


def without_first(capacity, segments, needed):
    """Leaves out the hole before the first segment, where there is one."""
    return wrong(first=not segments)(capacity, segments, needed)
