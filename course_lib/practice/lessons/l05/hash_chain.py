"""05.hash_chain: a hash for each full block that covers the sequence up to the end of that block."""

import os
from hashlib import sha256

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial
from course_lib.practice.judge.outcome_text import a_kind

from .hash_chain_answers import (
    first_in_all,
    hash_going_on,
    hash_of_whole_beginnings,
    mixed,
    one_for_all,
    only_neighbour,
    plain,
    two_bytes_each,
    wrong,
)
from .solutions.hash_chain import hash_chain


def numbered(chains):
    """Hashes as numbers: 0 for the first hash, 1 for the next different one, and so on. chains: [[hash, …], …]."""
    order = list(dict.fromkeys(one for chain in chains for one in chain))
    return [[order.index(one) for one in chain] for chain in chains]


def looked(chains):
    """`numbered` for lists; for anything else, what it is, in words."""
    strange = [chain for chain in chains if type(chain) is not list]
    return f"{a_kind(strange[0])} instead of a list" if strange else numbered(chains)


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


def kinds(token_ids, block_size):
    """The Trial of the type of the hashes, and of whether they are long enough."""

    def act(answer):
        got = answer(list(token_ids), block_size)
        return [kind(one) for one in got] if type(got) is list else a_kind(got)

    def kind(one):
        if type(one) is not bytes:
            return a_kind(one)
        return "bytes, 16 or more" if len(one) >= 16 else f"bytes, {len(one)} of them"

    lines = [f"[(type(one), len(one)) for one in hash_chain({token_ids}, {block_size})]"]
    return Trial(
        lines, act, show=lambda got: repr(got).replace("'", ""), size=len(token_ids), note="16 bytes are 128 bits"
    )


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
]
UNTOUCHED = [untouched(token_ids, 2) for token_ids in ([1, 2, 3], [4, 5, 6, 7], [1, 2])]

HASH_CHAIN = Exercise(
    id="05.hash_chain",
    title="A name for each full block",
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
            [same(*case) for case in EARLIER],
        ),
        Property(
            "Every token counts, in full and at its position",
            "Two sequences with the same hash would read each other's keys and values.",
            [same(*case) for case in TOKENS],
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
        Mistake(
            "a hash covers its own block alone.",
            "After another beginning the same tokens have other keys and values. Hash the parent, the hash of the "
            "block before, together with the tokens.",
            wrong(name=lambda parent, block, i: plain(block)),
        ),
        Mistake(
            "a hash covers its block and the block's index, but not the tokens before.",
            "Two sequences can hold the same tokens at the same index after different beginnings. Hash the parent "
            "together with the tokens, not the index.",
            (wrong(name=lambda parent, block, i: plain((i, block))),),
        ),
        Mistake(
            "a hash covers only the block just before.",
            "An earlier difference is missed. The parent must be a hash, not tokens: a hash covers all tokens before "
            "it.",
            only_neighbour,
        ),
        Mistake(
            "the parent is always the first block.",
            "Set `parent` to the new hash after every block, so that the next hash covers it.",
            first_in_all,
        ),
        Mistake(
            "the order of the blocks is lost.",
            "A sum or an exclusive-or does not depend on the order of the blocks. Hash the parent followed by the "
            "tokens.",
            mixed,
        ),
        Mistake(
            "a block that is not full is hashed too.",
            "Its hash would change with every token. Stop at the last full block: `range(0, len(token_ids) - "
            "block_size + 1, block_size)`.",
            wrong(ends=lambda n, size: [min(start + size, n) for start in range(0, n, size)], step=1),
        ),
        Mistake(
            "the last full block is left out.",
            "A sequence of exactly two blocks has two hashes. The last block starts at `len(token_ids) - block_size`, "
            "and `range` leaves its end out, so add 1.",
            wrong(ends=lambda n, size: range(size, n, size)),
        ),
        Mistake(
            "a hash is made after every token.",
            "One hash for each block is asked for: move on by `block_size`.",
            wrong(ends=lambda n, size: range(size, n + 1)),
        ),
        Mistake(
            "one hash is made for the whole sequence.",
            "A sequence that shares only its beginning must find the blocks of that beginning, so each block needs a "
            "hash.",
            one_for_all,
        ),
        Mistake(
            "the tokens are joined without a separator.",
            "Then 12 and 3 give the same string as 1 and 23. `repr` of the list separates them.",
            wrong(name=lambda parent, block, i: sha256(parent + b"|" + "".join(map(str, block)).encode()).digest()),
        ),
        Mistake(
            "token ids are truncated.",
            "One byte holds 256 ids, two bytes hold 65,536, and a vocabulary may have more. `repr` of the list, or 8 "
            "bytes for each id, keeps them in full.",
            (
                wrong(name=lambda parent, block, i: sha256(parent + bytes(t % 256 for t in block)).digest()),
                wrong(name=lambda parent, block, i: sha256(parent + two_bytes_each(block)).digest()),
            ),
        ),
        Mistake(
            "the order of the tokens is lost.",
            "The same tokens in another order are another sequence. Hash them in their order: no sorting, no sum, no "
            "set.",
            (
                wrong(name=lambda parent, block, i: sha256(parent + repr(sorted(block)).encode()).digest()),
                wrong(name=lambda parent, block, i: sha256(parent + repr(sum(block)).encode()).digest()),
                wrong(name=lambda parent, block, i: sha256(parent + repr(set(block)).encode()).digest()),
            ),
        ),
        Mistake(
            "the hash differs from call to call.",
            "A block that was cached earlier must be found later: the hash must not depend on random numbers, the "
            "time or `id`.",
            wrong(name=lambda parent, block, i: sha256(parent + os.urandom(8) + repr(block).encode()).digest()),
        ),
        Mistake(
            "Python's own `hash` is used.",
            "It has 64 bits, and gives the same for -1 and -2. Use `sha256(…).digest()`.",
            wrong(name=lambda parent, block, i: hash((parent, tuple(block)))),
        ),
        Mistake(
            "the hash is truncated.",
            "With fewer bits, two sequences are more likely to have the same hash. Keep at least 16 bytes.",
            (
                wrong(name=lambda parent, block, i: sha256(parent + repr(block).encode()).digest()[:8]),
                wrong(name=lambda parent, block, i: sha256(parent + repr(block).encode()).digest()[:4]),
            ),
        ),
        Mistake(
            "the hash is a string, not bytes.",
            "`hexdigest()` gives a string, twice as long. `digest()` gives the bytes.",
            wrong(name=lambda parent, block, i: sha256(str(parent).encode() + repr(block).encode()).hexdigest()),
        ),
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
