"""05.match_prefix: the cached blocks that hold the beginning of a new request."""

from collections.abc import Iterator

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.outcome_text import a_kind

from .cached import Cached
from .match_prefix_answers import (
    all_or_nothing,
    last_found_left_out,
    longest_from_behind,
    looks_up_all,
    match_by_counting,
    match_with_take,
    nothing_if_all,
    one_more_left_out,
    walks_through,
    wrong,
)
from .solutions.match_prefix import match_prefix


def hashes_of(num_tokens, block_size):
    """h0, h1, …: short names instead of real hashes."""
    return [f"h{i}" for i in range(num_tokens // block_size)]


def written(cached):
    return "{" + ", ".join(f"{key!r}: {value}" for key, value in cached.items()) + "}"


def find(num_tokens, block_size, cached, note=""):
    """The Trial of the blocks found for a sequence of this length. cached: {index in the sequence: block id}."""
    hashes, block_of = hashes_of(num_tokens, block_size), {f"h{i}": block for i, block in cached.items()}
    lines = [
        f"hashes, block_of = {hashes}, {written(block_of)}",
        f"match_prefix(hashes, {num_tokens}, {block_size}, block_of)",
    ]
    return Trial(
        lines,
        lambda answer: answer(list(hashes), num_tokens, block_size, dict(block_of)),
        lambda got: f"{a_kind(got)}; a list is asked for" if isinstance(got, Iterator) else repr(got),
        note=note,
        size=10 * num_tokens + len(cached),
    )


def effort(num_tokens, block_size, cached, others):
    """The Trial of which hashes after the first missing one are looked up, and of loops over the whole cache."""
    hashes, block_of = hashes_of(num_tokens, block_size), {f"h{i}": block for i, block in cached.items()}
    first = next((i for i, h in enumerate(hashes) if h not in block_of), len(hashes))

    def act(answer):
        cache = Cached({**block_of, **{f"other{i}": 100 + i for i in range(others)}})
        answer(list(hashes), num_tokens, block_size, cache)
        behind = [h for h in dict.fromkeys(cache.asked) if h in hashes and hashes.index(h) > first]
        return {"looked up after it": behind, "loop over all": cache.walked}

    lines = [
        "from course_lib.practice.play import Cached  # a dict that records what is looked up",
        f"block_of = Cached({written(block_of)})",
        f"match_prefix({hashes}, {num_tokens}, {block_size}, block_of)",
        "block_of.asked, block_of.walked",
    ]
    note = f"h{first} is the first that is missing" if first < len(hashes) else ""
    return Trial(lines, act, size=10 * num_tokens + others, note=note)


def untouched(num_tokens, block_size, cached):
    hashes, block_of = hashes_of(num_tokens, block_size), {f"h{i}": block for i, block in cached.items()}

    def act(answer):
        given, kept = list(hashes), dict(block_of)
        answer(given, num_tokens, block_size, kept)
        return [given, kept]

    lines = [
        f"hashes, block_of = {hashes}, {written(block_of)}",
        f"match_prefix(hashes, {num_tokens}, {block_size}, block_of)",
        "[hashes, block_of]",
    ]
    return Trial(lines, act, size=num_tokens)


UNTOUCHED = [
    untouched(n, 2, cached)
    for n, cached in ((5, {0: 3, 1: 4}), (3, {0: 1}), (7, {0: 5, 1: 6, 2: 7}), (3, {}), (7, {0: 5}), (7, {1: 6}))
] + [untouched(n, 2, cached) for n, cached in ((2, {0: 3}), (4, {0: 3, 1: 4}), (4, {0: 3}), (6, {1: 2}))]
PLAIN = [
    (3, 2, {}),
    (3, 2, {0: 5}),
    (5, 2, {0: 5, 1: 9}),
    (5, 2, {0: 5}),
    (7, 2, {0: 4, 1: 2, 2: 6}),
    (9, 4, {0: 3, 1: 8}),
    (6, 4, {0: 3}),
    (11, 5, {0: 1, 1: 2}),
    (19, 2, {i: i + 3 for i in range(9)}),
    (1, 4, {}),
]
GAPS = [
    (5, 2, {1: 9}),
    (7, 2, {0: 5, 2: 9}),
    (7, 2, {1: 5, 2: 9}),
    (9, 2, {0: 4, 1: 6, 3: 8}),
    (9, 2, {0: 4, 3: 8}),
    (13, 4, {2: 7}),
]
ZERO = [(3, 2, {0: 0}), (5, 2, {0: 0, 1: 1}), (5, 2, {0: 3, 1: 0}), (7, 2, {0: 2, 1: 0, 2: 1})]
ALL = [
    (2, 2, {0: 5}),
    (4, 2, {0: 5, 1: 9}),
    (4, 4, {0: 7}),
    (8, 4, {0: 7, 1: 3}),
    (1, 1, {0: 4}),
    (6, 2, {0: 1, 1: 2, 2: 3}),
    (3, 1, {0: 1, 1: 2, 2: 3}),
    (4, 2, {0: 5}),
    (6, 2, {0: 5, 1: 9}),
    (6, 2, {0: 5}),
]

MATCH_PREFIX = Exercise(
    id="05.match_prefix",
    title="What is cached already",
    name="match_prefix",
    cases="caches",
    properties=[
        Property(
            "The cached blocks of the beginning are returned, in the order of the sequence",
            "They become the first blocks in the block table of the new request.",
            [find(*case) for case in PLAIN],
        ),
        Property(
            "The search stops at the first block that is missing",
            "A block table has no gaps: the keys and values of a block depend on all blocks before it.",
            [find(*case, note=f"h{next(i for i in range(9) if i not in case[2])} is missing") for case in GAPS],
        ),
        Property(
            "Block 0 is a valid block",
            "Ids begin at 0, and 0 counts as false in Python.",
            [find(*case) for case in ZERO],
        ),
        Property(
            "At least one token is left for the model to compute",
            "The logits of the last token give the next token, and they are not cached. So when the whole sequence is "
            "cached, its last block is left out.",
            [find(*case, note="the whole sequence is cached") for case in ALL],
        ),
        Property(
            "The cost grows with the sequence, not with the cache",
            "A server has hundreds of thousands of cached blocks, and makes this search for every request.",
            [
                effort(n, 2, cached, others)
                for others in (3, 40)
                for n, cached in ((3, {}), (7, {}), (9, {0: 4}), (13, {0: 4, 2: 6}), (5, {0: 4, 1: 5}))
            ],
        ),
        Property(
            "The hashes and the cache are not changed",
            "A search must not take blocks: the request may have to wait.",
            UNTOUCHED,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "all tokens are taken from the cache.",
            "Then no token is left for the model to compute, and without logits there is no next token. Take at most "
            "`(num_tokens - 1) // block_size` blocks.",
            wrong(limit=lambda hashes, num_tokens, block_size: len(hashes)),
        ),
        Mistake(
            "the last full block is always left out.",
            "It must be left out only when the sequence ends with it. With one more token after it, it can be used: "
            "`(num_tokens - 1) // block_size`.",
            (
                wrong(limit=lambda hashes, num_tokens, block_size: len(hashes) - 1),
                wrong(limit=lambda hashes, num_tokens, block_size: num_tokens // block_size - 1),
            ),
        ),
        Mistake(
            "a block is left out although one token after it is left to compute.",
            "One token is enough. A block can be used when at least one token comes after it: "
            "`(num_tokens - 1) // block_size`.",
            (wrong(limit=lambda hashes, num_tokens, block_size: (num_tokens - 2) // block_size), one_more_left_out),
        ),
        Mistake(
            "the last block that was found is left out, and not the last block of the sequence.",
            "Where the search ends earlier, tokens are left anyway. Search the first (num_tokens - 1) // block_size "
            "hashes only.",
            last_found_left_out,
        ),
        Mistake(
            "nothing is taken when all blocks are cached.",
            "Only the last block must be computed again. The others can be used.",
            nothing_if_all,
        ),
        Mistake(
            "the search continues after a gap.",
            "Every block after the gap would be at a wrong index of the block table. Stop at the first block that is "
            "missing: `break`.",
            (wrong(stops=False), longest_from_behind),
        ),
        Mistake(
            "either all blocks are taken or none.",
            "A cached beginning saves work, however long the rest is. Take the blocks up to the first one that is "
            "missing.",
            all_or_nothing,
        ),
        Mistake(
            "block 0 is treated as missing.",
            "`if block_of.get(h):` is false for block 0. Test `h in block_of`, or compare with `None`.",
            wrong(missing=lambda h, block_of: not block_of.get(h)),
        ),
        Mistake(
            "the number of tokens is returned.",
            "The caller needs the block ids for the block table. It can compute the number of tokens itself.",
            wrong(gives=lambda blocks, used, num_tokens, block_size: len(blocks) * block_size),
        ),
        Mistake(
            "the number of blocks is returned.",
            "The caller needs the block ids for the block table.",
            wrong(gives=lambda blocks, used, num_tokens, block_size: len(blocks)),
        ),
        Mistake(
            "hashes are returned, not blocks.",
            "The hash is the key; `block_of[h]` is the block id.",
            wrong(gives=lambda blocks, used, num_tokens, block_size: used),
        ),
        Mistake(
            "the order is reversed.",
            "A block table lists its blocks from the beginning of the sequence.",
            wrong(gives=lambda blocks, used, num_tokens, block_size: blocks[::-1]),
        ),
        Mistake(
            "only the last block is returned.",
            "The block table needs all blocks of the beginning.",
            wrong(gives=lambda blocks, used, num_tokens, block_size: blocks[-1:]),
        ),
        Mistake(
            "a loop goes over the whole cache.",
            "A dictionary finds a hash without a loop: `h in block_of`. The time of a loop grows with the size of the "
            "cache.",
            walks_through,
        ),
        Mistake(
            "hashes after the first missing one are looked up.",
            "Their blocks cannot be used. Stop at the first missing hash.",
            looks_up_all,
        ),
        Mistake(
            "the hashes or the cache are changed.",
            "The hashes of the request are needed again, and cached blocks stay in the cache. `pop` removes what it "
            "reads, and `setdefault` and a `defaultdict` enter what is missing.",
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "Go through the hashes from the first one. As long as the hash is in `block_of`, collect its block. Stop at "
        "the first hash that is not.",
        "One token must be left to compute. How many full blocks fit into `num_tokens - 1` tokens?",
        "`hashes[: (num_tokens - 1) // block_size]` are the hashes to look up: all full blocks, without the last one "
        "when the sequence ends with it.",
    ],
    rights=[match_prefix, match_by_counting, match_with_take],
    why="There is one look-up for each block, and none after the first missing one, so the cost grows with the prompt "
    "only. `(num_tokens - 1) // block_size` ensures in one expression that at least one token is computed: a "
    "sequence that ends with a full block leaves that block out, and every other sequence keeps all its full "
    "blocks.",
)
