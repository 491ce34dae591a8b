"""Reserved against used: who holds which slots of a memory cut into contiguous pieces, and what of it is wasted, over time."""

from bisect import bisect_right

from course_lib.errors import ParameterError
from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import count, keys, some, whole

PARTS = ("used", "reserved", "internal", "external", "free")
NAMES = {
    "used": "used",
    "reserved": "yet to come",
    "internal": "never used",
    "external": "hole, too small",
    "free": "free",
}
SEGMENT = ("request", "start", "reserved", "used", "final")


def reserved_against_used(runs, capacity):
    """Memory as a map of slots, one token each, and the shares of what they are used for, over time; a policy at a time.

    runs: {policy: steps}. A step is a dict {"time", "segments", "waiting", "used", "reserved", "internal", "external",
        "free"}: the last five count slots and add up to `capacity`; waiting counts requests. A segment is a dict
        {"request", "start", "reserved" (slots), "used" (tokens so far), "final" (tokens at its end)}.
        "reserved" of a step counts slots that will be used later, "internal" those that never will, "external" those in
        holes too small for whoever waits next.
    capacity: slots of the memory.
    Steps of different policies are put side by side by their time. `selected` is {"policy", "request"}: set either.
    Raises ParameterError for anything that does not fit together.
    """
    capacity = whole("capacity", capacity, 1)
    if not isinstance(runs, dict):
        raise ParameterError(
            f"runs is {type(runs).__name__}; it has to be a dict, {{policy: steps}}, also for a single policy."
        )
    some("runs", runs)
    runs = {str(policy): [_step(policy, index, step, capacity) for index, step in enumerate(some(f"runs[{policy!r}]", steps))]
            for policy, steps in runs.items()}  # fmt: skip
    for policy, steps in runs.items():
        for index, (before, after) in enumerate(zip(steps, steps[1:])):
            if after["time"] <= before["time"]:
                raise ParameterError(f"runs[{policy!r}][{index + 1}] is at time {after['time']}, the step before it at {before['time']}. "
                                     "Give the steps in order of time.")  # fmt: skip
    times = sorted({step["time"] for steps in runs.values() for step in steps})
    return ReservedAgainstUsed(
        {
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
    )


class ReservedAgainstUsed(View):
    """See `reserved_against_used`."""

    name = "reserved"
    noun = "reserved against used"

    @property
    def policy(self):
        """The name of the policy shown."""
        return (self.selected or {}).get("policy") or self.data["runs"][0]["policy"]

    def check_selected(self, selected):
        if selected is None:
            return None
        if not isinstance(selected, dict) or not set(selected) <= {"policy", "request"}:
            raise ParameterError(
                f"selected = {selected!r} is no choice. Give a dict with a policy, a request or both, or None."
            )
        policy = selected.get("policy") or self.policy
        run = next((run for run in self.data["runs"] if run["policy"] == policy), None)
        if run is None:
            names = ", ".join(repr(run["policy"]) for run in self.data["runs"])
            raise ParameterError(f"policy = {policy!r} is not among the runs. There are {names}.")
        request = selected.get("request")
        if request is not None and request not in [piece[0] for piece in run["pieces"]]:
            raise ParameterError(f"request = {request!r} never runs under {policy!r}. Give one that does, or None.")
        return {"policy": policy, "request": request}

    def _run(self):
        return next(run for run in self.data["runs"] if run["policy"] == self.policy)

    def words(self, step=None):
        return "".join(text for _, text in say(self.data, self._run(), self._at(step)))

    def _rows(self, step):
        rows = []
        for kind, start, size, segment in layout(self.data, self._run(), step):
            if segment is None:
                rows.append([NAMES[kind], start, size, "", "", ""])
            else:
                request, _, reserved, final, used = segment
                rows.append([f"request {request}", start, size, used, final - used, reserved - final])
        return rows

    def _poster(self):
        return (self.first + self.last) // 2  # at the ends a memory is empty

    def _paint(self, step):
        from .still import paint

        return paint(self.data, self._run(), step)

    def __repr__(self):
        return f"<{self.noun}: {self.policy}, {self.data['subtitle']}, step {self.step} of {self.last}>"


def _step(policy, index, step, capacity):
    """One step, checked: pieces that do not overlap and lie inside the memory, counts that add up."""
    where = f"runs[{policy!r}][{index}]"
    keys(where, step, ("time", "segments", "waiting", *PARTS))
    parts = {name: whole(f"{where}: {name}", step[name]) for name in PARTS}
    if sum(parts.values()) != capacity:
        raise ParameterError(f"{where}: {', '.join(PARTS)} add up to {sum(parts.values())} slots, but the memory has {capacity}. "
                             "Count every slot once.")  # fmt: skip
    segments = []
    for number, segment in enumerate(step["segments"]):
        place = f"{where}: segments[{number}]"
        keys(place, segment, SEGMENT)
        if not isinstance(segment["request"], (int, str)):
            raise ParameterError(f"{place}: request is {segment['request']!r}; it has to be a number or a name.")
        start = whole(f"{place}: start", segment["start"], 0, capacity - 1)
        reserved = whole(f"{place}: reserved", segment["reserved"], 1, capacity - start)
        final = whole(f"{place}: final", segment["final"], 1, reserved)
        segments.append(
            (segment["request"], start, reserved, final, whole(f"{place}: used", segment["used"], 0, final))
        )
    segments.sort(key=lambda segment: segment[1])
    for one, other in zip(segments, segments[1:]):
        if one[1] + one[2] > other[1]:
            raise ParameterError(f"{where}: request {other[0]} starts at slot {other[1]}, inside the slots {one[1]} to {one[1] + one[2] - 1} "
                                 f"of request {one[0]}. Two requests cannot hold one slot.")  # fmt: skip
    sums = {
        "used": sum(s[4] for s in segments),
        "reserved": sum(s[3] - s[4] for s in segments),
        "internal": sum(s[2] - s[3] for s in segments),
    }
    for name, found in sums.items():
        if parts[name] != found:
            raise ParameterError(
                f"{where}: {name} is {parts[name]} slots, but its segments come to {found}. Count both at the same moment."
            )
    return {"time": whole(f"{where}: time", step["time"]), "waiting": whole(f"{where}: waiting", step["waiting"]),
            "parts": list(parts.values()), "segments": segments}  # fmt: skip


def _run(policy, steps, times):
    """A run as it goes to the browser: each stay of a request once, with how it grew, not once a step."""
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
        "pieces": [
            [
                *piece["key"],
                piece["first"],
                piece["first"] + len(piece["used"]) - 1,
                _growth(piece["used"], piece["key"][3]),
            ]
            for piece in pieces
        ],
    }


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
    """Slots as "31.2 %". In whole numbers, so that JavaScript rounds alike; what is there is never rounded to nothing."""
    tenths = (2000 * slots + capacity) // (2 * capacity)
    if slots in (0, capacity):
        return "0\xa0%" if slots == 0 else "100\xa0%"
    return "<0.1\xa0%" if tenths == 0 else ">99.9\xa0%" if tenths == 1000 else f"{tenths // 10}.{tenths % 10}\xa0%"


SAID = (
    "",
    "is reserved for tokens yet to come",
    "is reserved and never used",
    "lies in holes too small for the next request",
    "is free",
)


def say(data, run, step):
    """What the memory holds at this step, in words: [kind, text] pieces. The same as in reserved.js."""
    index, capacity, parts = own_step(run, step), data["capacity"], parts_at(data, run, step)
    running, waiting = len(segments_at(run, index)), run["waiting"][index] if index >= 0 else 0
    rest = ", ".join(f"{share(slots, capacity)} {words}" for slots, words in list(zip(parts, SAID))[1:] if slots)
    return [
        ["strong", f"{run['policy']}, time {data['times'][step - 1]:,}:"],
        [
            "",
            f" {count(running, 'request')} {'runs' if running == 1 else 'run'}, {waiting:,} {'waits' if waiting == 1 else 'wait'}. ",
        ],
        ["strong", f"{share(parts[0], capacity)} of the memory is used"],
        ["", f"; {rest}." if rest else "."],
    ]
