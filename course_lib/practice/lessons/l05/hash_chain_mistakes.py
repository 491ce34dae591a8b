"""Mistakes of 05.hash_chain, each with wrong answers that make it."""

import os
from hashlib import sha256

import numpy as np

from course_lib.practice.judge.exercise import Mistake

from .hash_chain_answers import (
    first_in_all,
    joined_blocks,
    mixed,
    one_for_all,
    only_neighbour,
    plain,
    two_bytes_each,
    wrong,
)

BASES = (10, 31, 37, 100, 101, 131, 256, 257, 1_000, 1_024, 4_096, 10_007, 50_257, 65_536, 65_537, 100_000, 151_936)


def few_bytes(block, order):
    return b"".join(t.to_bytes((t.bit_length() + 7) // 8 or 1, order) for t in block)


def is_one_number(answer):
    """Whether the tokens of a block count as the digits of a number, in one of many bases."""

    def alike(one, other):
        return answer(one, 2) == answer(other, 2)

    digits = any(alike([base, 0], [0, 1]) or alike([0, base], [1, 0]) for base in BASES)
    return digits and not alike([0, 0], [0, 1]) and not alike([0, 1], [1, 0])


MISTAKES = [
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
        "An earlier difference is missed. The parent must be a hash, not tokens: a hash covers all tokens before it.",
        only_neighbour,
    ),
    Mistake(
        "only a part of the parent goes into a hash.",
        "Two beginnings whose hashes agree in that part give the same hash. Hash all bytes of the parent.",
        (
            wrong(name=lambda parent, block, i: sha256(parent[:1] + repr(block).encode()).digest()),
            wrong(name=lambda parent, block, i: sha256(parent[:2] + repr(block).encode()).digest()),
        ),
    ),
    Mistake(
        "the parent is always the first block.",
        "Set `parent` to the new hash after every block, so that the next hash covers it.",
        first_in_all,
    ),
    Mistake(
        "the order of the blocks is lost.",
        "A sum or an exclusive-or does not depend on the order of the blocks. Hash the parent followed by the tokens.",
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
        "A sequence that shares only its beginning must find the blocks of that beginning, so each block needs a hash.",
        one_for_all,
    ),
    Mistake(
        "the tokens are joined without a separator.",
        "Then 12 and 3 give the same string as 1 and 23. `repr` of the list separates them.",
        wrong(name=lambda parent, block, i: sha256(parent + b"|" + "".join(map(str, block)).encode()).digest()),
    ),
    Mistake(
        "the blocks are joined without a separator.",
        "Then the blocks [1, 2] [34, 5] give the same string as [1, 23] [4, 5]. Hash the parent's digest, which has a "
        "fixed length, before the tokens of the block.",
        joined_blocks,
    ),
    Mistake(
        "token ids are truncated.",
        "One byte holds 256 ids, two bytes hold 65,536, and a vocabulary may have more. `repr` of the list, or 8 "
        "bytes for each id, keeps them in full.",
        (
            wrong(name=lambda parent, block, i: sha256(parent + bytes(t % 256 for t in block)).digest()),
            wrong(name=lambda parent, block, i: sha256(parent + two_bytes_each(block)).digest()),
            wrong(name=lambda parent, block, i: sha256(parent + repr([t % 2**24 for t in block]).encode()).digest()),
        ),
    ),
    Mistake(
        "the order of the tokens is lost.",
        "The same tokens in another order are another sequence. Hash them in their order: no sorting, no sum, no set.",
        (
            wrong(name=lambda parent, block, i: sha256(parent + repr(sorted(block)).encode()).digest()),
            wrong(name=lambda parent, block, i: sha256(parent + repr(sum(block)).encode()).digest()),
            wrong(name=lambda parent, block, i: sha256(parent + repr(set(block)).encode()).digest()),
        ),
    ),
    Mistake(
        "the tokens of a block are made into one number.",
        "With a base such as 31, the tokens 31 and 0 give the same number as 0 and 1. `repr` of the list keeps the "
        "tokens apart.",
        is_made_by=lambda answer, found: is_one_number(answer),
    ),
    Mistake(
        "each token id is written with as few bytes as it needs, and they are joined.",
        "Then nothing tells where one id ends and the next begins: 1 and 515 give the bytes of 258 and 3. Write each "
        "with the same number of bytes, or use `repr` of the list.",
        tuple(
            wrong(name=lambda parent, block, i, order=order: sha256(parent + few_bytes(block, order)).digest())
            for order in ("big", "little")
        ),
        is_made_by=lambda answer, found: any(
            answer(a, 2) == answer(b, 2) and answer([1, 2], 2) != answer([2, 1], 2)
            for a, b in (([1, 515], [258, 3]), ([1, 515], [769, 2]))
        ),
    ),
    Mistake(
        "a long block is shortened before it is hashed.",
        "NumPy and torch write a long array with `…` in its middle, so `str` and `repr` of it leave most tokens out. "
        "Write a list, or the bytes of the array.",
        wrong(name=lambda parent, block, i: sha256(parent + repr(np.array(block)).encode()).digest()),
        is_made_by=lambda answer, found: found.story[0].startswith("first, second"),
    ),
    Mistake(
        "the hash differs from call to call.",
        "A block that was cached earlier must be found later: the hash must not depend on random numbers, the "
        "time or `id`.",
        wrong(name=lambda parent, block, i: sha256(parent + os.urandom(8) + repr(block).encode()).digest()),
    ),
    Mistake(
        "Python's own `hash` is used.",
        "It has 64 bits, also inside of another hash. Use `sha256(…).digest()` on the tokens themselves.",
        (
            wrong(name=lambda parent, block, i: hash((parent, tuple(block)))),
            wrong(name=lambda parent, block, i: hash((parent, tuple(block))).to_bytes(8, "big", signed=True) * 2),
            wrong(name=lambda parent, block, i: sha256(parent + str(hash(tuple(block))).encode()).digest()),
            wrong(name=lambda parent, block, i: sha256(str(hash((parent, tuple(block)))).encode()).digest()),
        ),
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
]
