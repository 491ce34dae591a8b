"""The data of reserved against used: each stay of a request once, with how it grew, and what a step comes to.

The browser reads them in the same way: pieces.js.
"""

from bisect import bisect_right

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count
from course_lib.viz.kit.inputs import keys, some, whole

PARTS = ("used", "reserved", "internal", "external", "free")
NAMES = {
    "used": "used",
    "reserved": "yet to come",
    "internal": "never used",
    "external": "hole, too small",
    "free": "free",
}
SEGMENT = ("request", "start", "reserved", "used", "final")
SAID = (
    "",
    "is reserved for tokens yet to come",
    "is reserved and never used",
    "lies in holes too small for the next request",
    "is free",
)


def reserved_data(runs, capacity):
    """What the browser draws from. Raises ParameterError for anything that does not fit together."""
    capacity = whole("capacity", capacity, 1)
    if not isinstance(runs, dict):
        raise ParameterError(
            f"runs is {type(runs).__name__}; it has to be a dict, {{policy: steps}}, also for a single policy."
        )
    some("runs", runs)
    runs = {str(policy): _steps(policy, steps, capacity) for policy, steps in runs.items()}
    times = sorted({step["time"] for steps in runs.values() for step in steps})
    return {
        "title": "Reserved against used",
        "subtitle": f"{count(capacity, 'slot')}, one token each",
        "first": 1,
        "last": len(times),
        "capacity": capacity,
        "times": times,
        "runs": [_run(policy, steps, times) for policy, steps in runs.items()],
        "columns": ["slots of", "first slot", "slots", "used", "yet to come", "never used"],
        "say": [[]],
    }


def _steps(policy, steps, capacity):
    """The steps of a policy, checked and in order of time."""
    steps = [_step(policy, index, step, capacity) for index, step in enumerate(some(f"runs[{policy!r}]", steps))]
    for index, (before, after) in enumerate(zip(steps, steps[1:])):
        if after["time"] <= before["time"]:
            raise ParameterError(
                f"runs[{policy!r}][{index + 1}] is at time {after['time']}, the step before it at {before['time']}. "
                "Give the steps in order of time."
            )
    return steps


def _step(policy, index, step, capacity):
    """One step, checked: counts that add up, to the memory's slots and to those of the segments."""
    where = f"runs[{policy!r}][{index}]"
    keys(where, step, ("time", "segments", "waiting", *PARTS))
    parts = {name: whole(f"{where}: {name}", step[name]) for name in PARTS}
    if sum(parts.values()) != capacity:
        raise ParameterError(
            f"{where}: {', '.join(PARTS)} add up to {sum(parts.values())} slots, but the memory has {capacity}. "
            "Count every slot once."
        )
    segments = _segments(where, step["segments"], capacity)
    sums = {
        "used": sum(used for _, _, _, _, used in segments),
        "reserved": sum(final - used for _, _, _, final, used in segments),
        "internal": sum(reserved - final for _, _, reserved, final, _ in segments),
    }
    for name, found in sums.items():
        if parts[name] != found:
            raise ParameterError(
                f"{where}: {name} is {parts[name]} slots, but its segments come to {found}. "
                "Count both at the same moment."
            )
    return {
        "time": whole(f"{where}: time", step["time"]),
        "waiting": whole(f"{where}: waiting", step["waiting"]),
        "parts": list(parts.values()),
        "segments": segments,
    }


def _segments(where, segments, capacity):
    """[(request, start, reserved, final, used)] in order of address, inside the memory and apart from each other."""
    found = []
    for number, segment in enumerate(segments):
        place = f"{where}: segments[{number}]"
        keys(place, segment, SEGMENT)
        if not isinstance(segment["request"], (int, str)):
            raise ParameterError(f"{place}: request is {segment['request']!r}; it has to be a number or a name.")
        start = whole(f"{place}: start", segment["start"], 0, capacity - 1)
        reserved = whole(f"{place}: reserved", segment["reserved"], 1, capacity - start)
        final = whole(f"{place}: final", segment["final"], 1, reserved)
        used = whole(f"{place}: used", segment["used"], 0, final)
        found.append((segment["request"], start, reserved, final, used))
    found.sort(key=lambda segment: segment[1])
    for (request, start, reserved, _, _), (other, begin, _, _, _) in zip(found, found[1:]):
        if start + reserved > begin:
            raise ParameterError(
                f"{where}: request {other} starts at slot {begin}, inside the slots {start} to {start + reserved - 1} "
                f"of request {request}. Two requests cannot hold one slot."
            )
    return found


def _run(policy, steps, times):
    """A run as it goes to the browser: each stay of a request once, with how it grew, instead of once a step."""
    pieces, open_pieces = [], {}
    for index, step in enumerate(steps):
        now = {}
        for request, start, reserved, final, used in step["segments"]:
            key = (request, start, reserved, final)
            piece = open_pieces.get(key) or {"key": key, "first": index, "used": []}
            if key not in open_pieces:
                pieces.append(piece)
            piece["used"].append(used)
            now[key] = piece
        open_pieces = now
    own = [step["time"] for step in steps]
    at = [bisect_right(own, time) - 1 for time in times]  # the step that holds at this time; -1 before the first
    return {
        "policy": policy,
        "at": None if own == times else at,
        "parts": [step["parts"] for step in steps],
        "waiting": [step["waiting"] for step in steps],
        "pieces": [_piece(**piece) for piece in pieces],
    }


def _piece(key, first, used):
    """[request, start, reserved, final, first step, last step, how it grew]"""
    return [*key, first, first + len(used) - 1, _growth(used, key[3])]


def _growth(used, final):
    """[start, a step] where it grows evenly until it is final, as it nearly always does; else every value."""
    by = used[1] - used[0] if len(used) > 1 else 0
    return [used[0], by] if used == [min(final, used[0] + by * at) for at in range(len(used))] else used


def segments_at(run, index):
    """[(request, start, reserved, final, used)] of a run's own step `index`, in order of address."""
    found = []
    for request, start, reserved, final, first, last, used in run["pieces"]:
        if first <= index <= last:
            grown = min(final, used[0] + used[1] * (index - first)) if len(used) == 2 else used[index - first]
            found.append((request, start, reserved, final, grown))
    return sorted(found, key=lambda segment: segment[1])


def own_step(run, step):
    """The run's own step, from 0, at `step` of the view; -1 before the run's first."""
    return step - 1 if run["at"] is None else run["at"][step - 1]


def parts_at(data, run, step):
    """Slots by PARTS."""
    index = own_step(run, step)
    return run["parts"][index] if index >= 0 else [0, 0, 0, 0, data["capacity"]]


def layout(data, run, step):
    """The memory from end to end: [(kind, start, slots, segment)]; kind is "segment", "external" or "free".

    Holes count as too small from the smallest up, until they come to the step's `external`.
    """
    segments, edge, found = segments_at(run, own_step(run, step)), 0, []
    for segment in segments:
        if segment[1] > edge:
            found.append(["free", edge, segment[1] - edge, None])
        found.append(["segment", segment[1], segment[2], segment])
        edge = segment[1] + segment[2]
    if edge < data["capacity"]:
        found.append(["free", edge, data["capacity"] - edge, None])
    left = parts_at(data, run, step)[3]
    for hole in sorted((piece for piece in found if piece[3] is None), key=lambda piece: piece[2]):
        if hole[2] <= left:
            hole[0], left = "external", left - hole[2]
    return found


def share(slots, capacity):
    """Slots as "31.2 %". Whole numbers, so that JavaScript rounds alike; what is there is never rounded to nothing."""
    tenths = (2000 * slots + capacity) // (2 * capacity)
    if slots in (0, capacity):
        return "0\xa0%" if slots == 0 else "100\xa0%"
    return "<0.1\xa0%" if tenths == 0 else ">99.9\xa0%" if tenths == 1000 else f"{tenths // 10}.{tenths % 10}\xa0%"


def say(data, run, step):
    """What the memory holds at this step, in words: [kind, text] pieces."""
    index, capacity, parts = own_step(run, step), data["capacity"], parts_at(data, run, step)
    running, waiting = len(segments_at(run, index)), run["waiting"][index] if index >= 0 else 0
    rest = ", ".join(f"{share(slots, capacity)} {words}" for slots, words in list(zip(parts, SAID))[1:] if slots)
    runs = f"{count(running, 'request')} {'runs' if running == 1 else 'run'}"
    return [
        ["strong", f"{run['policy']}, time {data['times'][step - 1]:,}:"],
        ["", f" {runs}, {waiting:,} {'waits' if waiting == 1 else 'wait'}. "],
        ["strong", f"{share(parts[0], capacity)} of the memory is used"],
        ["", f"; {rest}." if rest else "."],
    ]
