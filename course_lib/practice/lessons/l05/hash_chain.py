"""Cases of 05.hash_chain: a name for each full block that stands for the whole text up to its end."""

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
    """Hashes as numbers: 0 for the first one met, 1 for the next other one, and so on. chains: [[hash, …], …]."""
    order = list(dict.fromkeys(one for chain in chains for one in chain))
    return [[order.index(one) for one in chain] for chain in chains]


def looked(chains):
    """`numbered` where these are lists; what they are instead where not."""
    strange = [chain for chain in chains if type(chain) is not list]
    return f"{a_kind(strange[0])} instead of a list" if strange else numbered(chains)


def same(texts, block_size, note="equal numbers stand for equal hashes"):
    """Which blocks of these texts have the same hash."""
    lines = [
        "from course_lib.practice.play import numbered",
        f"texts = {texts}",
        f"numbered([hash_chain(text, {block_size}) for text in texts])",
    ]
    size = 10 * sum(map(len, texts)) + max((t for text in texts for t in text), default=0)
    return Trial(lines, lambda answer: looked([answer(list(text), block_size) for text in texts]), size=size, note=note)


def kinds(text, block_size):
    """What the hashes are: their type, and whether they are long enough."""

    def act(answer):
        got = answer(list(text), block_size)
        return [kind(one) for one in got] if type(got) is list else a_kind(got)

    def kind(one):
        if type(one) is not bytes:
            return a_kind(one)
        return "bytes, 16 or more" if len(one) >= 16 else f"bytes, {len(one)} of them"

    lines = [f"[(type(one), len(one)) for one in hash_chain({text}, {block_size})]"]
    return Trial(lines, act, show=lambda got: repr(got).replace("'", ""), size=len(text), note="16 bytes are 128 bits")


def untouched(text, block_size):
    def act(answer):
        given = list(text)
        answer(given, block_size)
        return given

    return Trial([f"text = {text}", f"hash_chain(text, {block_size})", "text"], act, size=len(text))


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
UNTOUCHED = [untouched(text, 2) for text in ([1, 2, 3], [4, 5, 6, 7], [1, 2])]

HASH_CHAIN = Exercise(
    id="05.hash_chain",
    title="A name for each full block",
    name="hash_chain",
    cases="texts",
    properties=[
        Property(
            "Each full block has one hash, and what is left over has none",
            "A block that still grows would change its name with every token.",
            [same(*case) for case in PARTIAL],
        ),
        Property(
            "Equal beginnings have equal hashes",
            "That is how a block is found again: the same text gives the same bytes, every time.",
            [same(*case) for case in BEGINNINGS],
        ),
        Property(
            "A hash stands for everything before the block too",
            "Keys and values depend on all tokens before them. A block behind another beginning is another block.",
            [same(*case) for case in EARLIER],
        ),
        Property(
            "Every token counts, whole and in its place",
            "Two texts with one hash would be served each other's keys and values.",
            [same(*case) for case in TOKENS],
        ),
        Property(
            "The hashes are `bytes`, 16 or more",
            "With 128 bits two texts with one hash will not be met. Python's own "
            "`hash` gives 64, and -1 and -2 have the same.",
            [kinds(text, 2) for text in ([1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6])],
        ),
        Property("The caller's list stays as it was", "It is a request's text.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "a hash covers its own block alone.",
            "Behind another beginning the same tokens have other keys and values. Put "
            "the hash of the block before into it.",
            wrong(name=lambda parent, block, i: plain(block)),
        ),
        Mistake(
            "a hash covers its block and its place, but not what stands before.",
            "Two texts can hold the same tokens at "
            "the same place behind different beginnings. Put the "
            "hash of the block before into it, not its number.",
            (wrong(name=lambda parent, block, i: plain((i, block))),),
        ),
        Mistake(
            "a hash covers only the block just before.",
            "A difference further back is missed. The parent is a hash, not tokens: it covers everything before it.",
            only_neighbour,
        ),
        Mistake(
            "the parent is always the first block.",
            "Set `parent` to the new hash after every block, so that the next one goes on from it.",
            first_in_all,
        ),
        Mistake(
            "the order of the blocks is lost.",
            "Sums and exclusive-or do not know which block came first. Hash the parent and the tokens in a row.",
            mixed,
        ),
        Mistake(
            "the block that is not full is hashed too.",
            "It would have another name after each token. Stop at the last "
            "full block: "
            "`range(0, len(token_ids) - block_size + 1, block_size)`.",
            wrong(ends=lambda n, size: [min(start + size, n) for start in range(0, n, size)], step=1),
        ),
        Mistake(
            "the last full block is left out.",
            "A text of exactly two blocks has two hashes: the start of the last one is "
            "`len(token_ids) - block_size`, and `range` ends before "
            "its end.",
            wrong(ends=lambda n, size: range(size, n, size)),
        ),
        Mistake(
            "a hash is made after every token.",
            "One for each block: go on by `block_size`.",
            wrong(ends=lambda n, size: range(size, n + 1)),
        ),
        Mistake(
            "one hash is made for the whole text.",
            "A text that shares only its beginning must find the blocks of that beginning: one hash for each block.",
            one_for_all,
        ),
        Mistake(
            "the tokens run into each other.",
            "Without a separator 12 and 3 are written like 1 and 23. `repr` of the list keeps them apart.",
            wrong(name=lambda parent, block, i: sha256(parent + b"|" + "".join(map(str, block)).encode()).digest()),
        ),
        Mistake(
            "tokens are cut short.",
            "One byte tells 256 ids apart, two tell 65,536, and a vocabulary has more. `repr` of "
            "the list, or 8 bytes for each, keeps them whole.",
            (
                wrong(name=lambda parent, block, i: sha256(parent + bytes(t % 256 for t in block)).digest()),
                wrong(name=lambda parent, block, i: sha256(parent + two_bytes_each(block)).digest()),
            ),
        ),
        Mistake(
            "the order of the tokens is lost.",
            "The same words in another order are another text. Hash them as they stand: no sorting, no sum, no set.",
            (
                wrong(name=lambda parent, block, i: sha256(parent + repr(sorted(block)).encode()).digest()),
                wrong(name=lambda parent, block, i: sha256(parent + repr(sum(block)).encode()).digest()),
                wrong(name=lambda parent, block, i: sha256(parent + repr(set(block)).encode()).digest()),
            ),
        ),
        Mistake(
            "the hash is another one each time.",
            "What was named yesterday must be found today: nothing random, no time and no `id` may go into it.",
            wrong(name=lambda parent, block, i: sha256(parent + os.urandom(8) + repr(block).encode()).digest()),
        ),
        Mistake(
            "Python's own `hash` is used.",
            "It gives 64 bits, and -1 and -2 have the same. Use `sha256(…).digest()`.",
            wrong(name=lambda parent, block, i: hash((parent, tuple(block)))),
        ),
        Mistake(
            "the hash is cut short.",
            "The fewer the bits, the sooner two texts meet in one hash. Keep at least 16 bytes.",
            (
                wrong(name=lambda parent, block, i: sha256(parent + repr(block).encode()).digest()[:8]),
                wrong(name=lambda parent, block, i: sha256(parent + repr(block).encode()).digest()[:4]),
            ),
        ),
        Mistake(
            "the hash is text, not bytes.",
            "`hexdigest()` gives a text, twice as long; `digest()` gives the bytes.",
            wrong(name=lambda parent, block, i: sha256(str(parent).encode() + repr(block).encode()).hexdigest()),
        ),
        Mistake(
            "the caller's list is changed.",
            "`pop` and `del` take tokens out of a request's text. Read slices of it.",
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "Walk over the text in steps of `block_size`, as long as a whole block is left.",
        'Keep the hash of the block before in a variable, `parent`, from `b""` on. What you hash is the parent and the tokens '
        "of the block.",
        "`sha256` wants bytes. `repr([1, 23]).encode()` writes a list of tokens as bytes, and keeps them apart.",
        "`parent = sha256(parent + repr(token_ids[start : start + block_size]).encode()).digest()`, for each `start` in "
        "`range(0, len(token_ids) - block_size + 1, block_size)`.",
    ],
    rights=[hash_chain, hash_of_whole_beginnings, hash_going_on],
    why="Each hash covers the tokens of its block and the hash before it, so it stands for the whole text, and a text that "
    "grows needs one hash more for each block more. To hash the "
    "whole beginning anew for each block would be right as well, but its cost grows with the square of the length.",
)
