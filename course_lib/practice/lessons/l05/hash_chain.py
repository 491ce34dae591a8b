"""05.hash_chain: a hash for each full block that covers the sequence up to the end of that block."""

import builtins
from collections.abc import Hashable

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.outcome_text import a_kind

from .hash_chain_answers import hash_going_on, hash_of_whole_beginnings
from .hash_chain_mistakes import MISTAKES
from .solutions.hash_chain import hash_chain


def numbered(chains):
    """Hashes as numbers: 0 for the first hash, 1 for the next different one, and so on. chains: [[hash, …], …]."""
    order = list(dict.fromkeys(one for chain in chains for one in chain))
    return [[order.index(one) for one in chain] for chain in chains]


def looked(chains):
    """`numbered` for lists; for anything else, what it is, in words."""
    strange = [chain for chain in chains if type(chain) is not list]
    if strange:
        return f"{a_kind(strange[0])} instead of a list"
    odd = [one for chain in chains for one in chain if not isinstance(one, Hashable)]
    return f"{a_kind(odd[0])} instead of bytes" if odd else numbered(chains)


def same(sequences, block_size, note="equal numbers stand for equal hashes"):
    """The Trial of which blocks of these sequences have the same hash."""
    lines = [
        "from course_lib.practice.play import numbered",
        f"sequences = {sequences}",
        f"numbered([hash_chain(token_ids, {block_size}) for token_ids in sequences])",
    ]
    size = 10 * sum(map(len, sequences)) + max((t for token_ids in sequences for t in token_ids), default=0)
    return Trial(
        lines,
        lambda answer: looked([answer(list(token_ids), block_size) for token_ids in sequences]),
        size=size,
        note=note,
    )


def apart(number):
    """The Trial of how many hashes `number` sequences have whose second block is the same and whose first is not."""
    lines = [f"len({{hash_chain([first, 7], 1)[1] for first in range({number})}})"]

    def act(answer):
        chains = [answer([first, 7], 1) for first in range(number)]
        return len({chain[1] for chain in chains}) if all(type(chain) is list for chain in chains) else looked(chains)

    return Trial(lines, act, size=number, note="one for each beginning")


def same_in_spite_of_hash(sequences, block_size):
    """The Trial of `same`, while Python's own `hash` gives 0 for everything."""
    base = same(sequences, block_size, "only the answers of hash() are the same here")

    def act(answer):
        own, builtins.hash = hash, lambda value: 0
        try:
            return base.act(answer)
        finally:
            builtins.hash = own

    first, *rest = base.story
    return Trial([first, "hash = lambda value: 0  # as if all hashes met", *rest], act, size=base.size, note=base.note)


def kinds(token_ids, block_size):
    """The Trial of the type of the hashes, and of whether they are long enough."""

    def act(answer):
        got = answer(list(token_ids), block_size)
        return [kind(one) for one in got] if type(got) is list else a_kind(got)

    def kind(one):
        if type(one) is not bytes:
            return a_kind(one)
        if len(one) < 16:
            return f"bytes, {len(one)} of them"
        if len(one) < 32 and all(byte in b"0123456789abcdef" for byte in one):
            return f"bytes, {len(one)} of them, but hexadecimal digits, of 4 bits each"
        if one == (one[:8] * len(one))[: len(one)] or len(set(one[8:])) == 1:
            return f"bytes, {len(one)} of them, but only 8 are different from block to block"
        return "bytes, 16 or more"

    lines = [f"[(type(one), len(one)) for one in hash_chain({token_ids}, {block_size})]"]
    return Trial(
        lines, act, show=lambda got: repr(got).replace("'", ""), size=len(token_ids), note="16 bytes are 128 bits"
    )


def in_the_middle(block_size, at):
    """The Trial of two long blocks that differ in one token."""

    def act(answer):
        first, second = [7] * block_size, [7] * block_size
        second[at] = 8
        return len({*answer(first, block_size), *answer(second, block_size)})

    lines = [
        f"first, second = [7] * {block_size}, [7] * {block_size}",
        f"second[{at}] = 8",
        f"len({{*hash_chain(first, {block_size}), *hash_chain(second, {block_size})}})",
    ]
    return Trial(lines, act, size=block_size, note="two blocks that differ in one token")


def untouched(token_ids, block_size):
    def act(answer):
        given = list(token_ids)
        answer(given, block_size)
        return given

    lines = [f"token_ids = {token_ids}", f"hash_chain(token_ids, {block_size})", "token_ids"]
    return Trial(lines, act, size=len(token_ids))


BEGINNINGS = [
    ([[1, 2]], 2),
    ([[1, 2], [1, 2]], 2),
    ([[1, 2, 3, 4], [1, 2, 3, 4]], 2),
    ([[1, 2, 3, 4], [1, 2, 5, 6]], 2),
    ([[1], [1], [2]], 1),
    ([[7, 8, 9, 7, 8, 9], [7, 8, 9, 1, 2, 3]], 3),
    ([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7, 8]], 2),
]
EARLIER = [
    ([[1, 2, 5, 6], [3, 4, 5, 6]], 2),
    ([[1, 2], [3, 2]], 1),
    ([[1, 2, 3], [9, 2, 3]], 1),
    ([[1, 1, 2, 2, 3, 3], [4, 4, 2, 2, 3, 3]], 2),
    ([[5, 6, 5, 6]], 2),
    ([[1, 1, 1]], 1),
    ([[1, 2, 3, 4], [3, 4, 1, 2]], 2),
    ([[1, 2, 3], [2, 1, 3]], 1),
    ([[3, 3, 1, 2, 9], [3, 3, 2, 1, 9]], 1),
    ([[1, 2, 3, 4, 5], [1, 9, 3, 4, 5]], 1),
]
PARTIAL = [
    ([[1]], 2),
    ([[]], 2),
    ([[1, 2, 3]], 2),
    ([[1, 2, 3, 4, 5]], 4),
    ([[1, 2, 3], [1, 2, 4]], 2),
    ([[1, 2], [1, 2, 3]], 2),
    ([[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7]], 4),
]
TOKENS = [
    ([[12, 3], [1, 23]], 2),
    ([[1, 2], [2, 1]], 2),
    ([[1, 1], [1, 257]], 2),
    ([[0, 1], [256, 1]], 2),
    ([[0, 0], [0, 0, 0, 0]], 2),
    ([[1, 3], [2, 2]], 2),
    ([[1, 11], [11, 1]], 2),
    ([[1, 1, 2], [1, 2, 2]], 3),
    ([[40_000, 7], [151_935, 7]], 2),
    ([[0, 5], [5, 0]], 2),
    ([[1, 2, 12], [12, 1, 2]], 3),
    ([[1, 112], [11, 12]], 2),
    ([[1, 2, 3, 4], [12, 3, 4, 0]], 4),
    ([[65_536, 1], [0, 1]], 2),
    ([[70_000, 2], [4_464, 2]], 2),
    ([[131_073, 5], [65_537, 5]], 2),
    ([[2_147_483_647, 5], [16_777_215, 5]], 2),
    ([[16_777_216, 5], [0, 5]], 2),
    ([[16_777_217, 5], [16_777_216, 5]], 2),
    ([[5, 1_073_741_824], [5, 0]], 2),
    ([[1, 2, 34, 5], [1, 23, 4, 5]], 2),
    ([[1, 515], [258, 3]], 2),
    ([[1, 515], [769, 2]], 2),
    ([[1, 17], [17, 1]], 2),
    ([[1, 3], [3, 1]], 2),
    ([[66_051, 1], [1, 131_841]], 2),
    ([[1, 11], [11, 1]], 1),
    ([[1, 2, 3, 45], [1, 2, 34, 5]], 1),
    *(
        ([[base, 0], [0, 1]], 2)
        for base in (10, 31, 37, 100, 101, 131, 257, 1_000, 1_024, 4_096, 10_007, 50_257, 65_537)
    ),
    *(([[0, base], [1, 0]], 2) for base in (10, 31, 256, 1_000, 65_536, 100_000, 128_256, 151_936)),
]
APART = [([[1, 2], [3, 4]], 2), ([[1, 2, 3], [4, 5, 6]], 1), ([[5, 6, 7, 8], [5, 6, 8, 7]], 2)]
LONG = [in_the_middle(1_200, 600), in_the_middle(2_048, 1_000), in_the_middle(4_096, 50)]
UNTOUCHED = [untouched(token_ids, 2) for token_ids in ([1, 2, 3], [4, 5, 6, 7], [1, 2])]

HASH_CHAIN = Exercise(
    id="05.hash_chain",
    title="A hash for each full block",
    name="hash_chain",
    properties=[
        Property(
            "Each full block has one hash, and a partly filled block has none",
            "The hash of a block that is not full would change with every token.",
            [same(*case) for case in PARTIAL],
        ),
        Property(
            "Equal beginnings have equal hashes",
            "That is how a block is found again: the same sequence gives the same bytes every time.",
            [same(*case) for case in BEGINNINGS],
        ),
        Property(
            "A hash covers all tokens before the block too",
            "Keys and values depend on all tokens before them. A block after another beginning holds other keys and "
            "values.",
            [same(*case) for case in EARLIER] + [apart(number) for number in (1000, 2000, 3000)],
        ),
        Property(
            "Every token counts, in full and at its position",
            "Two sequences with the same hash would read each other's keys and values.",
            [same(*case) for case in TOKENS] + LONG + [same_in_spite_of_hash(*case) for case in APART],
        ),
        Property(
            "The hashes are `bytes`, 16 or more",
            "With 128 bits, two sequences with the same hash do not occur in practice. Python's own `hash` has 64 "
            "bits, and gives the same for -1 and -2.",
            [kinds(token_ids, 2) for token_ids in ([1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6])],
        ),
        Property("The caller's list is not changed", "It holds the token ids of a request.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        *MISTAKES,
        Mistake(
            "the caller's list is changed.",
            "`pop` and `del` remove token ids of the request. Read slices of the list.",
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "Go through the sequence in steps of `block_size`, as long as a full block is left.",
        'Keep the hash of the block before in a variable, `parent`, which begins as `b""`. Hash the parent and the '
        "tokens of the block.",
        "`sha256` takes bytes. `repr([1, 23]).encode()` writes a list of tokens as bytes, and separates them.",
        "`parent = sha256(parent + repr(token_ids[start : start + block_size]).encode()).digest()`, for each `start` "
        "in `range(0, len(token_ids) - block_size + 1, block_size)`.",
    ],
    rights=[hash_chain, hash_of_whole_beginnings, hash_going_on],
    why="Each hash covers the tokens of its block and the hash before it, so it covers the whole sequence up to "
    "there. A sequence that grows needs one more hash for each new block. To hash the whole beginning again for "
    "each block would be right too, but its cost grows with the square of the length.",
)
