"""Reserved against used: who holds which slots of a memory cut into contiguous pieces, and what of it is wasted, over time."""

from bisect import bisect_right

from course_lib.errors import ParameterError
from course_lib.viz import static
from course_lib.viz.base import View
from course_lib.viz.given import count, keys, some, whole

PARTS = ("used", "reserved", "internal", "external", "free")
NAMES = {"used": "used", "reserved": "yet to come", "internal": "never used", "external": "hole, too small", "free": "free"}
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
        raise ParameterError(f"runs is {type(runs).__name__}; it has to be a dict, {{policy: steps}}, also for a single policy.")
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
            raise ParameterError(f"selected = {selected!r} is no choice. Give a dict with a policy, a request or both, or None.")
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
        return _Painter(self.data, self._run(), step).figure

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
        segments.append((segment["request"], start, reserved, final, whole(f"{place}: used", segment["used"], 0, final)))
    segments.sort(key=lambda segment: segment[1])
    for one, other in zip(segments, segments[1:]):
        if one[1] + one[2] > other[1]:
            raise ParameterError(f"{where}: request {other[0]} starts at slot {other[1]}, inside the slots {one[1]} to {one[1] + one[2] - 1} "
                                 f"of request {one[0]}. Two requests cannot hold one slot.")  # fmt: skip
    sums = {"used": sum(s[4] for s in segments), "reserved": sum(s[3] - s[4] for s in segments), "internal": sum(s[2] - s[3] for s in segments)}
    for name, found in sums.items():
        if parts[name] != found:
            raise ParameterError(f"{where}: {name} is {parts[name]} slots, but its segments come to {found}. Count both at the same moment.")
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
        "pieces": [[*piece["key"], piece["first"], piece["first"] + len(piece["used"]) - 1, _growth(piece["used"], piece["key"][3])] for piece in pieces],
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


SAID = ("", "is reserved for tokens yet to come", "is reserved and never used", "lies in holes too small for the next request", "is free")


def say(data, run, step):
    """What the memory holds at this step, in words: [kind, text] pieces. The same as in reserved.js."""
    index, capacity, parts = own_step(run, step), data["capacity"], parts_at(data, run, step)
    running, waiting = len(segments_at(run, index)), run["waiting"][index] if index >= 0 else 0
    rest = ", ".join(f"{share(slots, capacity)} {words}" for slots, words in list(zip(parts, SAID))[1:] if slots)
    return [
        ["strong", f"{run['policy']}, time {data['times'][step - 1]:,}:"],
        ["", f" {count(running, 'request')} {'runs' if running == 1 else 'run'}, {waiting:,} {'waits' if waiting == 1 else 'wait'}. "],
        ["strong", f"{share(parts[0], capacity)} of the memory is used"],
        ["", f"; {rest}." if rest else "."],
    ]


LEFT, RIGHT = 74, 898


class _Painter:
    """Draws one step with matplotlib; the same picture as reserved.js, in light colours."""

    def __init__(self, data, run, step):
        self.data, self.run, self.step, self.colour = data, run, step, static.palette()
        colour, capacity = self.colour, data["capacity"]
        self.looks = {
            "used": {"facecolor": colour["r0"]},
            "reserved": {"facecolor": colour["r0"] + "42"},
            "internal": {**static.hatched(colour["r1"], colour["r1"] + "1a", 4), "linewidth": 0},
            "external": {"facecolor": colour["r3"] + "29", "edgecolor": colour["r3"], "hatch": "\\" * 6, "linewidth": 0},
            "free": {"facecolor": "none", "edgecolor": colour["faint"], "linestyle": "--", "linewidth": 0.8},
        }
        rows = 1 if capacity <= 48 else 4 if capacity <= 256 else 8 if capacity <= 1024 else 12
        self.per = -(-capacity // rows)
        self.row, self.top = 17 if rows > 8 else 22, 106
        bottom = self.top + -(-capacity // self.per) * self.row
        self.figure, self.axes = static.figure(bottom + 204)
        static.title(self.axes, data)
        legend = {"used": "used", "reserved": "reserved, yet to come", "internal": "reserved, never used", "external": "hole, too small", "free": "free"}
        static.legend(self.axes, [(text, self.looks[part]) for part, text in legend.items()])
        heading = static.write(self.axes, 22, 84, f"{run['policy']}", size=13, weight="bold")
        text = f"{share(parts_at(data, run, step)[0], capacity)} used"
        static.write(self.axes, 34 + static.text_width(self.axes, heading), 84, text, size=12, colour="soft", family="monospace")
        for line in range(-(-capacity // self.per)):
            static.write(self.axes, LEFT - 9, self.top + (line + 0.5) * self.row, f"{line * self.per:,}", size=10.5, colour="soft", ha="right", family="monospace")
        for kind, start, size, segment in layout(data, run, step):
            self._piece(kind, start, size, segment)
        self._chart(bottom + 38)
        static.say(self.axes, bottom + 160, "".join(text for _, text in say(data, run, step)))

    def _lines(self, start, end):
        """[start, end) on the rows of the map: (x, y, width, holds the start, holds the end)."""
        slot, at = (RIGHT - LEFT) / self.per, start
        while at < end:
            line = at // self.per
            stop = min(end, (line + 1) * self.per)
            yield LEFT + (at - line * self.per) * slot, self.top + line * self.row + 2, (stop - at) * slot, at == start, stop == end
            at = stop

    def _piece(self, kind, start, size, segment):
        tall = self.row - 4
        if segment is None:
            for x, y, wide, _, _ in self._lines(start, start + size):
                static.box(self.axes, x + 0.5, y + 0.5, max(0.5, wide - 1), tall - 1, **self.looks[kind])
            return
        request, _, _, final, used = segment
        for part, a, b in (("used", 0, used), ("reserved", used, final), ("internal", final, size)):
            for x, y, wide, _, _ in self._lines(start + a, start + b):
                static.box(self.axes, x, y, wide, tall, **self.looks[part])
        named = False
        for x, y, wide, first, last in self._lines(start, start + size):
            for colour, width in (("card", 2.4), ("soft", 0.8)):  # a gap between neighbours, whatever they hold
                edges = [([x, x + wide], [y, y]), ([x, x + wide], [y + tall, y + tall])]
                edges += [([x, x], [y, y + tall])] * first + [([x + wide, x + wide], [y, y + tall])] * last
                for xs, ys in edges:
                    self.axes.plot(xs, ys, color=self.colour[colour], linewidth=width, solid_capstyle="butt")
            text = str(request)[:10]
            if not named and wide > 7 * len(text) + 14:
                static.box(self.axes, x + 4, y + tall / 2 - 6, 7 * len(text) + 6, 12, radius=2.5, facecolor=self.colour["card"], zorder=3)
                static.write(self.axes, x + 7, y + tall / 2 + 0.5, text, size=10, weight="bold", family="monospace", zorder=4)
                named = True

    def _chart(self, top):
        from matplotlib.patches import Polygon

        data, last, tall = self.data, self.data["last"], 88
        static.write(self.axes, 22, top - 16, "SHARES OF THE MEMORY OVER TIME", size=10.5, colour="soft", weight="bold")
        edges = [LEFT + (RIGHT - LEFT) * at / last for at in range(last + 1)]
        heights = [0] * last
        for part, name in enumerate(PARTS[:4]):
            below, heights = heights, [h + parts_at(data, self.run, at + 1)[part] for at, h in enumerate(heights)]
            outline = [(x, top + tall * (1 - h / data["capacity"])) for i, h in enumerate(heights) for x in (edges[i], edges[i + 1])]
            base = [(x, top + tall * (1 - h / data["capacity"])) for i, h in reversed(list(enumerate(below))) for x in (edges[i + 1], edges[i])]
            if heights != below:
                self.axes.add_patch(Polygon(outline + base, closed=True, **{"linewidth": 0, **self.looks[name]}))
        now = LEFT + (RIGHT - LEFT) * (self.step - 0.5) / last
        static.box(self.axes, now, top, RIGHT - now, tall, facecolor=self.colour["card"] + "a6", zorder=2)  # what is still to come stands back
        static.box(self.axes, LEFT, top, RIGHT - LEFT, tall, facecolor="none", edgecolor=self.colour["faint"], linewidth=0.8, zorder=3)
        self.axes.plot([now, now], [top, top + tall + 4], color=self.colour["ink"], linewidth=1.3, zorder=4)
        static.write(self.axes, max(LEFT + 30, min(RIGHT - 30, now)), top + tall + 13, f"time {data['times'][self.step - 1]:,}", size=10.5, ha="center", family="monospace")
        for text, part in (("100 %", 1), ("50 %", 0.5), ("0 %", 0)):
            static.write(self.axes, LEFT - 9, top + tall * (1 - part) + 5 * (2 * part - 1), text, size=10.5, colour="soft", ha="right", family="monospace")
