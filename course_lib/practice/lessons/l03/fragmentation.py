"""Exercise 03.fragmentation: what each slot of a contiguous KV cache is used for."""

from course_lib.kvcache.fragmentation import PARTS, draw_requests, reserve_exact, reserve_power_of_two, simulate
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .fragmentation_answers import (
    fragmentation_by_edges,
    fragmentation_by_slot,
    in_pieces,
    shares,
    without_first,
    wrong,
)
from .solutions.fragmentation import fragmentation


def segment(start, reserved, used, final):
    return {"start": start, "reserved": reserved, "used": used, "final": final}


def memory(capacity, rows, needed, part=None, note=""):
    """The Trial for these segments (start, reserved, used, final) that compares all parts or the named ones."""
    written = ",\n            ".join(repr(segment(*row)) for row in rows)
    call = f"fragmentation({capacity}, segments, {needed})"
    parts = [part] if isinstance(part, str) else part
    expression = (
        call
        if parts is None
        else f"[{call}[name] for name in {parts!r}]"
        if len(parts) > 1
        else f'{call}["{parts[0]}"]'
    )
    return Trial(
        [f"segments = [{written}]", expression],
        lambda answer: selected(answer(capacity, [segment(*row) for row in rows], needed), parts),
        note=note,
        size=100 * len(rows) + capacity,
    )


def selected(got, parts):
    """The values of these parts as a list; of one part, its value; of None, the whole dict."""
    if parts is None:
        return got
    found = [got[name] for name in parts]
    return found[0] if len(found) == 1 else found


def kind(capacity, rows, needed):
    """The Trial that compares names and types only."""

    def act(answer):
        got = answer(capacity, [segment(*row) for row in rows], needed)
        return {name: type(got[name]).__name__ for name in sorted(got)} if isinstance(got, dict) else type(got).__name__

    base = memory(capacity, rows, needed)
    return Trial(base.story, act, size=base.size, explain=names_and_kinds)


def names_and_kinds(expected, got):
    """What is wrong with {name: kind of its number}, or with anything else, in words."""
    if not isinstance(got, dict):
        return f"Return a dict with five whole numbers: {', '.join(PARTS)}."
    missing, other = [name for name in PARTS if name not in got], [str(name) for name in got if name not in PARTS]
    said = [f"Missing: {', '.join(missing)}. A number of 0 is returned too."] * bool(missing)
    said += [f"Not asked for: {', '.join(other)}."] * bool(other)
    return " ".join(said) or "Each number is an `int`."


def untouched(capacity, rows, needed):
    """The Trial that compares the caller's segments after the call."""

    def act(answer):
        segments = [segment(*row) for row in rows]
        answer(capacity, segments, needed)
        return segments

    base = memory(capacity, rows, needed)
    return Trial([*base.story, "segments"], act, size=base.size)


def simulated(seed, time, needed):
    """The Trial on a step of the simulator."""
    policy = (reserve_exact, reserve_power_of_two)[seed % 2]

    def act(answer):
        requests = draw_requests(30, seed=seed, mean_prompt=8, mean_output=12, max_tokens=64)
        return answer(300, simulate(requests, policy, 300, time + 1)[time]["segments"], needed)

    return Trial(
        [
            "from course_lib.kvcache.fragmentation import draw_requests, reserve_exact, reserve_power_of_two, simulate",
            f"requests = draw_requests(30, seed={seed}, mean_prompt=8, mean_output=12, max_tokens=64)",
            f'segments = simulate(requests, {policy.__name__}, 300, {time + 1})[{time}]["segments"]',
            f"fragmentation(300, segments, {needed})",
        ],
        act,
        size=10_000 + time,
    )


ONE = [
    (4, [(0, 4, 1, 2)]),
    (5, [(0, 5, 2, 2)]),
    (6, [(0, 6, 1, 4)]),
    (8, [(0, 8, 3, 3)]),
    (8, [(0, 8, 2, 7)]),
    (7, [(0, 7, 1, 5)]),
]
TWO = [(8, [(0, 4, 1, 3), (4, 4, 2, 2)]), (9, [(0, 5, 3, 4), (5, 4, 1, 2)]), (12, [(0, 6, 2, 5), (6, 6, 4, 4)])]
HOLED = [
    (4, []),
    (6, [(0, 4, 1, 2)]),
    (6, [(2, 4, 1, 3)]),
    (8, [(2, 4, 1, 3)]),
    (10, [(0, 3, 1, 2), (6, 4, 2, 3)]),
    (12, [(2, 3, 1, 2), (8, 2, 1, 1)]),
    (16, [(3, 4, 2, 3), (9, 4, 1, 4)]),
    (14, [(1, 3, 1, 2), (6, 3, 2, 2), (12, 1, 1, 1)]),
]
PAIR = ["external", "free"]

UNTOUCHED = [untouched(capacity, rows, 3) for capacity, rows in (HOLED[1], HOLED[4], TWO[0])]

FRAGMENTATION = Exercise(
    id="03.fragmentation",
    title="Where the slots went",
    name="fragmentation",
    cases="memories",
    properties=[
        Property(
            "It returns a dict of five whole numbers",
            "`used`, `reserved`, `internal`, `external` and `free`, in slots.",
            [kind(capacity, rows, 2) for capacity, rows in (ONE[0], ONE[1], TWO[0], HOLED[1])],
        ),
        Property(
            "`used` counts the tokens that are stored",
            "Only these slots hold keys and values.",
            [memory(capacity, rows, 0, "used") for capacity, rows in ONE + TWO],
        ),
        Property(
            "`reserved` counts the slots for tokens that the request will still generate",
            "They will be used, but no other request can use them until then.",
            [memory(capacity, rows, 0, "reserved") for capacity, rows in ONE + TWO],
        ),
        Property(
            "`internal` counts the slots that will never be used",
            "The request ends before it reaches them: internal fragmentation.",
            [memory(capacity, rows, 0, "internal") for capacity, rows in ONE + TWO],
        ),
        Property(
            "If no request waits, every hole is free",
            "`needed` is 0, so no hole is too small.",
            [memory(capacity, rows, 0, PAIR) for capacity, rows in HOLED],
        ),
        Property(
            "Each hole that is too small for the waiting request is external",
            "A request needs contiguous slots, so it cannot use two small holes: external fragmentation.",
            [memory(capacity, rows, needed, PAIR) for capacity, rows in HOLED for needed in (1, 2, 3, 4, 6, 20)],
        ),
        Property(
            "The five parts sum to the capacity, in every state of the simulator",
            "Every slot belongs to exactly one of the five parts.",
            [
                simulated(seed, time, needed)
                for seed, time in ((0, 0), (0, 25), (1, 12), (1, 40), (2, 60))
                for needed in (0, 12, 40)
            ],
        ),
        Property("The caller's segments are not changed", "They describe memory that is in use.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "shares are returned, not slots.",
            "Whole slots can be summed and compared exactly. Divide only when you print.",
            shares,
        ),
        Mistake(
            "all reserved slots are counted as used.",
            '`used` is the number of tokens that are stored now: `s["used"]`.',
            (wrong(used=lambda s: s["reserved"]), wrong(used=lambda s: s["final"])),
        ),
        Mistake(
            "slots that are never used are counted as reserved.",
            "The request ends at `final` tokens. The slots up to `final` are reserved, the slots after it are "
            "internal fragmentation.",
            (
                wrong(reserved=lambda s: s["reserved"] - s["used"], internal=lambda s: 0),
                wrong(reserved=lambda s: s["reserved"] - s["used"]),
            ),
        ),
        Mistake(
            "the whole reservation is counted as reserved.",
            "Slots that are already used count as `used`: only `final - used` slots are reserved.",
            (wrong(reserved=lambda s: s["reserved"]), wrong(reserved=lambda s: s["final"])),
        ),
        Mistake(
            "slots for later tokens are counted as internal.",
            "They will be used. Only the slots after `final` are never used: `reserved - final`.",
            (
                wrong(internal=lambda s: s["reserved"] - s["used"]),
                wrong(reserved=lambda s: 0, internal=lambda s: s["reserved"] - s["used"]),
            ),
        ),
        Mistake(
            "all holes are counted as external.",
            "A hole that is large enough for the waiting request is free.",
            (wrong(small=lambda hole, needed, holes: True), wrong(small=lambda hole, needed, holes: needed > 0)),
        ),
        Mistake(
            "a hole that is large enough is cut, and its rest is counted as external.",
            "The waiting request takes a part of it, and the rest may be used later: the whole hole is free.",
            in_pieces,
        ),
        Mistake(
            "the holes are added up before the comparison.",
            "A request needs contiguous slots. Compare each hole with `needed`, not the sum of the holes.",
            (wrong(small=lambda hole, needed, holes: sum(holes) < needed),),
        ),
        Mistake(
            "only the largest hole is compared.",
            "Compare each hole: the small holes are external even if there is a large one.",
            wrong(small=lambda hole, needed, holes: max(holes) < needed),
        ),
        Mistake(
            "a hole of exactly the needed size is counted as external.",
            "The request fits into it: only `hole < needed` is too small.",
            wrong(small=lambda hole, needed, holes: hole <= needed),
        ),
        Mistake(
            "small and large are swapped.",
            "Holes smaller than `needed` are external, the other holes are free.",
            wrong(small=lambda hole, needed, holes: hole >= needed),
        ),
        Mistake(
            "the hole after the last segment is not counted.",
            "It reaches from the end of the last segment to `capacity`.",
            wrong(last=False),
        ),
        Mistake(
            "the hole before the first segment is not counted.",
            "The memory starts at slot 0; start with `edge = 0`.",
            (wrong(first=False), without_first),
        ),
        Mistake(
            "a hole starts where the tokens of a segment end.",
            "Reserved slots belong to the request even if they hold no tokens: a segment ends at `start + reserved`.",
            (wrong(end=lambda s: s["start"] + s["final"]), wrong(end=lambda s: s["start"] + s["used"])),
        ),
        Mistake(
            "the caller's segments are changed.",
            'Read from `s["…"]`; assignments and `pop` change the caller\'s data.',
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "Draw one segment as a bar from `start` to `start + reserved`. Mark where `used` ends and where `final` ends: "
        "the bar has three parts.",
        "The parts are `used`, `final - used` (reserved) and `reserved - final` (internal). Sum each over the "
        "segments.",
        "For the holes, keep `edge`, the end of the previous segment, starting with 0. The hole before a segment is "
        "`start - edge`; after the loop there is one more hole, `capacity - edge`.",
        '`parts["external" if hole < needed else "free"] += hole`, separately for each hole.',
    ],
    rights=[fragmentation, fragmentation_by_slot, fragmentation_by_edges],
    why="Within a segment, `used` and `final` divide the reserved slots into three parts. Between segments, one loop "
    "with `edge` finds every hole, except the hole after the last segment, which is counted after the loop. Each hole "
    "is compared separately, because a request with contiguous slots cannot use two holes. Paging, in the next "
    "lesson, makes exactly this possible.",
)
