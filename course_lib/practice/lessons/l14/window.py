"""14.window: blocks that fall out of the window go back to the allocator."""

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .solutions.window import slide
from .window_mistakes import MISTAKES


def slide_by_positions(block_ids, num_tokens, window, block_size):
    """Looks at every block whether one of its positions is seen."""
    seen = {p // block_size for p in range(max(0, num_tokens - window + 1), num_tokens + 1)}
    gone = []
    for place, block in enumerate(block_ids):
        last = place * block_size + block_size - 1
        if block >= 0 and place not in seen and last < num_tokens:
            gone.append(block)
            block_ids[place] = -1
    return gone


def slide_by_slice(block_ids, num_tokens, window, block_size):
    """Replaces a slice at once."""
    out = max(0, (num_tokens + 1 - window) // block_size)
    gone = [block for block in block_ids[:out] if block != -1]
    block_ids[:out] = [-1] * out
    return gone


def once(table, num_tokens, window, block_size, note=""):
    """The Trial of one call: what is returned, and the table after it."""

    def act(answer):
        given = list(table)
        return answer(given, num_tokens, window, block_size), given

    story = [f"table = {table}", f"slide(table, {num_tokens}, {window}, {block_size}), table"]
    return Trial(story, act, note=note, size=10 * len(table) + window + block_size)


def grows(block_ids, window, block_size, steps, first=1):
    """The Trial of a sequence that gets one token a step: (tokens, what is returned, the table) where there is some."""

    def act(answer):
        table, waiting, told = [], list(block_ids), []
        for num_tokens in range(first, steps + 1):
            while len(table) * block_size < num_tokens:
                table.append(waiting.pop(0))
            told.append((num_tokens, answer(table, num_tokens, window, block_size)))
        return [one for one in told if one[1] != []], table

    story = [
        f"table, waiting = [], {list(block_ids)}",
        f"for num_tokens in range({first}, {steps + 1}):",
        f"    while len(table) * {block_size} < num_tokens:",
        "        table.append(waiting.pop(0))",
        f"    if gone := slide(table, num_tokens, {window}, {block_size}):",
        "        print(num_tokens, gone)",
        "table",
    ]
    return Trial(story, act, size=100 + steps + window)


def in_turn(window, block_size, tables, calls):
    """The Trial of several sequences whose calls take turns. calls: (which table, num_tokens)."""

    def act(answer):
        mine = [list(table) for table in tables]
        return [answer(mine[which], n, window, block_size) for which, n in calls], mine

    story = [
        f"tables = {[list(table) for table in tables]}",
        f"[slide(tables[which], n, {window}, {block_size}) for which, n in {calls}], tables",
    ]
    return Trial(story, act, size=50 + 10 * len(calls))


ONE = [
    once([7, 3], 6, 2, 4, note="token 6 sees 5 and 6, in block 3"),
    once([7, 3, 5], 10, 2, 4, note="token 10 sees 9 and 10"),
    once([4, 9], 3, 1, 2),
    once([7, 3, 5, 6], 15, 6, 4),
    once([2, 8, 6, 1, 4], 9, 3, 2),
    once([4, 9, 2, 7, 1, 3, 8], 26, 2, 4, note="a long prompt was computed in one step: six blocks at once"),
    once([1, 4, 2, 8, 5, 7, 9, 3], 15, 1, 2),
    once([5, 2, 8, 6, 9, 1], 21, 2, 4),
    once([9, 5, 6], 8, 2, 3),
]
EDGE = [
    once([7, 3], 8, 5, 4, note="token 8 sees 4 to 8: position 4 is the first of block 3"),
    once([7, 3], 8, 6, 4, note="token 8 sees 3 to 8: position 3 is the last of block 7"),
    once([7, 3], 7, 4, 4, note="token 7 sees 4 to 7"),
    once([7, 3], 7, 5, 4, note="token 7 sees 3 to 7"),
    once([6, 2, 9], 6, 3, 2, note="token 6 sees 4 to 6"),
    once([6, 2, 9], 6, 4, 2, note="token 6 sees 3 to 6"),
    once([5, 8, 1], 9, 4, 3),
    once([5, 8, 1], 9, 5, 3),
]
NOTHING = [
    once([7], 3, 8, 4, note="all tokens are seen"),
    once([7, 3], 8, 9, 4),
    once([7, 3], 8, 100, 4),
    once([], 0, 4, 4, note="no tokens yet"),
    once([5], 1, 1, 4),
    once([7, 3], 5, 2, 4, note="token 5 sees 4 and 5: all of block 7 is before them"),
]
SMALL = [
    once([7], 4, 1, 4, note="token 4 sees itself alone, and will be in another block"),
    once([7, 3], 6, 1, 4, note="token 6 sees itself alone"),
    once([7, 3], 8, 2, 8),
    once([7, 3], 17, 2, 8, note="token 17 sees 16 and 17"),
    once([7, 3, 4], 17, 3, 8, note="token 17 sees 15 to 17"),
    once([7, 3, 4], 18, 2, 8, note="token 18 sees 17 and 18"),
]
BEFORE = [
    once([-1, 3, 5, 6], 14, 3, 4),
    once([-1, -1, 5], 11, 2, 4),
    once([-1, -1, 5, 6], 12, 1, 4),
    once([-1, 9, -1, 4, 2], 8, 1, 2, note="a place may have been given back in any order"),
]
ZERO = [once([0, 3], 6, 2, 4), once([3, 0, 5], 10, 2, 4), once([2, 0], 4, 1, 2), once([0, 1, 2, 3], 15, 6, 4)]
AHEAD = [
    once([7, 3, 5, 9], 6, 2, 4, note="blocks 5 and 9 are for tokens to come"),
    once([7, 3, 5], 2, 1, 4),
    once([7, 3], 3, 6, 4, note="token 3 sees 0 to 3"),
    once([7, 3, 5, 9], 1, 9, 4, note="token 1 sees 0 and 1"),
    once([4, 2, 6], 0, 5, 2, note="token 0 sees itself"),
    once([7, 3, 5, 9, 2], 9, 3, 4),
    once([6, 1, 4, 8], 4, 1, 2),
]
GROWING = [
    grows([4, 0, 2, 7, 1], 3, 2, 10),
    grows([5, 2, 0, 9, 6, 1, 3], 6, 4, 27),
    grows([3, 0, 8, 1], 1, 3, 12),
    grows([9, 4, 0, 1], 5, 4, 16, first=13),
]
TURNS = [
    in_turn(3, 2, [[4, 0, 7], [5, 1, 2]], [(0, 5), (1, 6), (0, 6), (1, 6)]),
    in_turn(2, 4, [[0, 3], [6, 2, 8]], [(1, 9), (0, 6), (1, 11), (0, 7)]),
    in_turn(1, 1, [[3, 0, 5], [1, 2]], [(0, 2), (1, 2), (0, 3)]),
]

WINDOW = Exercise(
    id="14.window",
    title="Blocks that fall out of the window",
    name="slide",
    properties=[
        Property(
            "A block whose positions are all before the window is given back, and its place becomes -1",
            "The next token sees the positions num_tokens - window + 1 to num_tokens.",
            ONE,
        ),
        Property(
            "A block stays while one of its positions is seen, and goes when none is",
            "A token that sees a block which is another request's by now reads another user's words.",
            EDGE,
        ),
        Property("Where all blocks are seen, nothing changes", "The window may be longer than the sequence.", NOTHING),
        Property(
            "A window may be smaller than a block",
            "Whole blocks are given back, so a window of 1 holds a block too.",
            SMALL,
        ),
        Property("What was given back is not given back again", "The block may be another request's by now.", BEFORE),
        Property("Block 0 is a block", "Only -1 is none.", ZERO),
        Property("Blocks for tokens to come stay", "They were just taken.", AHEAD),
        Property(
            "As a sequence grows, each block is given back once", "A server calls this after every step.", GROWING
        ),
        Property("Sequences do not disturb each other", "Each has its own table.", TURNS),
    ],
    mistakes=[*RETURNS_NOTHING, *MISTAKES],
    hints=[
        "The first position that the next token sees is `max(0, num_tokens - window + 1)`. All positions before it are "
        "never seen again.",
        "Place i holds the positions i * block_size to (i + 1) * block_size - 1. It falls out if the last of them is "
        "before the first that is seen. That is so for the places from 0 up to, not including, `first_seen // "
        "block_size`.",
        "Go through these places. If the block is not -1, append its id to a list, and write -1 into "
        "`block_ids[place]`.",
    ],
    rights=[slide, slide_by_positions, slide_by_slice],
    why="`WindowedManager.fallen` in `course_lib/kvcache/windowed.py` says the same, with sinks: the blocks that "
    "hold a sink "
    "stay. It frees the blocks with the last one first, so that the beginning of a prompt stays longest in the "
    "prefix cache.",
)
