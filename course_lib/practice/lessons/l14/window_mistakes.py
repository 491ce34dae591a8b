"""The mistakes in 14.window. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    first=lambda num_tokens, window: max(0, num_tokens - window + 1),
    places=lambda first_seen, size, table: range(max(0, first_seen // size)),
    passes=lambda block: block == -1,
    mark=-1,
    copies=False,
    told=lambda gone: gone,
    keeps=None,
):
    """A wrong answer: the right one with one part replaced. keeps: told what is returned, instead of block ids."""

    def answer(block_ids, num_tokens, window, block_size):
        table = list(block_ids) if copies else block_ids
        gone = []
        for place in places(first(num_tokens, window), block_size, table):
            if place < len(table) and not passes(table[place]):
                gone.append(table[place] if keeps is None else keeps(place))
                table[place] = mark
        return told(gone)

    return answer


def counts_from_the_end(block_ids, num_tokens, window, block_size):
    """Takes a slice whose end can be negative."""
    out = (num_tokens - window + 1) // block_size
    gone = [block for block in block_ids[:out] if block != -1]
    block_ids[:out] = [-1] * len(block_ids[:out])
    return gone


def removes(block_ids, num_tokens, window, block_size):
    """Takes the blocks out of the list, which becomes shorter."""
    out = max(0, (num_tokens - window + 1) // block_size)
    gone = [block for block in block_ids[:out] if block != -1]
    del block_ids[:out]
    return gone


def both(block_ids, num_tokens, window, block_size):
    gone = wrong()(block_ids, num_tokens, window, block_size)
    return gone, block_ids


def keeps_from_the_end(more):
    """Keeps as many blocks as a window fills and `more`, counted from the end of the list."""

    def answer(block_ids, num_tokens, window, block_size):
        held = -(-window // block_size) + more
        return wrong(places=lambda first_seen, size, table: range(max(0, len(table) - held)))(
            block_ids, num_tokens, window, block_size
        )

    return answer


def stops_at_a_hole(block_ids, num_tokens, window, block_size):
    """Goes through the places from the first, up to one that is -1."""
    gone = []
    for place in range(max(0, num_tokens - window + 1) // block_size):
        if block_ids[place] == -1:
            break
        gone.append(block_ids[place])
        block_ids[place] = -1
    return gone


def marks_nothing(block_ids, num_tokens, window, block_size):
    return wrong()(list(block_ids), num_tokens, window, block_size)


MISTAKES = [
    Mistake(
        "the end of a slice is negative, which counts from the end of the list.",
        "As long as the window holds the whole sequence, num_tokens - window + 1 is below 0. No block goes then: "
        "`max(0, …)`.",
        counts_from_the_end,
    ),
    Mistake(
        "only a few places before the window are looked at.",
        "A long prompt is computed in one step, and then many blocks fall out at once. Look at all places before the "
        "window.",
        (
            wrong(places=lambda first, size, table: range(max(0, first // size - 2), max(0, first // size))),
            wrong(places=lambda first, size, table: range(max(0, first // size - 3), max(0, first // size))),
        ),
    ),
    Mistake(
        "the window does not count the token itself.",
        "The next token sees itself and window - 1 tokens before it: from num_tokens - window + 1 on.",
        wrong(first=lambda n, window: max(0, n - window)),
    ),
    Mistake(
        "the window is one token too short.",
        "The next token has position num_tokens. The first that it sees is num_tokens - window + 1.",
        wrong(first=lambda n, window: max(0, n - window + 2)),
    ),
    Mistake(
        "a block goes when its first position is not seen any more.",
        "Its other positions are still seen. It goes when its last position is before the window.",
        (
            wrong(places=lambda first_seen, size, table: range(-(-first_seen // size))),
            wrong(places=lambda first_seen, size, table: range(first_seen // size + 1 if first_seen else 0)),
        ),
    ),
    Mistake(
        "a block stays for too long.",
        "It goes as soon as its last position is before the window: with `first_seen // block_size`, a block that ends "
        "right before first_seen counts.",
        wrong(places=lambda first_seen, size, table: range(max(0, first_seen // size - 1))),
    ),
    Mistake(
        "the number of blocks that stay is counted, not which are seen.",
        "A window may begin in the middle of a block, and the table may have blocks for tokens to come. Compute "
        "the first "
        "position that is seen.",
        (keeps_from_the_end(0), keeps_from_the_end(1)),
    ),
    Mistake(
        "positions are taken for places.",
        "Position p is at the place p // block_size.",
        wrong(places=lambda first_seen, size, table: range(min(first_seen, len(table)))),
    ),
    Mistake(
        "one block at most is given back.",
        "After a long prompt several blocks fall out at once.",
        (
            wrong(places=lambda first_seen, size, table: range(first_seen // size)[-1:]),
            wrong(places=lambda first_seen, size, table: range(first_seen // size)[:1]),
        ),
    ),
    Mistake(
        "the places are removed from the list.",
        "A place says which positions a block holds. Write -1 there, so that the others keep their places.",
        removes,
    ),
    Mistake(
        "the caller's list is not changed.",
        "A copy is another list. Write -1 into `block_ids` itself.",
        (marks_nothing, lambda block_ids, *more: wrong(copies=True)(block_ids, *more)),
    ),
    Mistake(
        "a place is marked by something else than -1.",
        "-1 is what a block table has where there is no block.",
        (wrong(mark=None), wrong(mark=0)),
    ),
    Mistake(
        "places are returned, not block ids.",
        "The allocator takes the ids of the blocks: `block_ids[place]`, read before -1 is written there.",
        wrong(keeps=lambda place: place),
    ),
    Mistake(
        "the search ends at a place that is -1.",
        "Blocks after it may have fallen out since: pass over it, and go on.",
        stops_at_a_hole,
    ),
    Mistake("-1 is given back.", "A place with -1 has no block. Pass over it.", wrong(passes=lambda block: False)),
    Mistake(
        "block 0 is passed over.", "0 is the id of a block. Compare with -1.", wrong(passes=lambda block: block <= 0)
    ),
    Mistake("-1 is written before the id is read.", "Read the id first, then write -1.", wrong(keeps=lambda place: -1)),
    Mistake(
        "the last block comes first.",
        "Return the ids in the order of their places.",
        wrong(told=lambda gone: gone[::-1]),
    ),
    Mistake(
        "how many blocks there are is returned.", "The allocator must know which: return their ids.", wrong(told=len)
    ),
    Mistake(
        "the table is returned too, or alone.",
        "The table is the caller's own list. Return the ids of the blocks that fell out.",
        (both, lambda *given: both(*given)[1]),
    ),
]
