"""The rows of trials of 13.counter_rng, one for each property."""

import torch

from .counter_rng_trials import INF, again, apart, company, far_apart, generators, kind, shares, spread, untouched

HALVES, FOUR = [0.0, 0.0], [0.0, -0.7, -1.4, -1.4]
KINDS = [kind(1, 2), kind(1, 1), kind(3, 4), kind(2, 5, torch.float16)]
ALONE = [company(2, 3, 1), company(3, 2, 2), company(4, 6, 3), company(5, 4, 4), company(8, 10, 5), company(12, 6, 6)]
ORDER = [
    company(2, 4, 7, [1, 0]),
    company(3, 5, 8, [2, 0, 1]),
    company(4, 8, 9, [3, 2, 1, 0]),
    company(6, 8, 10, [4, 4, 0, 5]),
    company(6, 9, 11, [5, 1]),
]
AGAIN = [again(1, 6, 1), again(3, 8, 2), again(4, 6, 3, others=1), again(5, 9, 4, others=3)]
GENERATORS = [generators(1, 3, 1), generators(2, 4, 2), generators(4, 6, 3)]
BY_POSITION = [
    shares(HALVES),
    shares(FOUR),
    shares(FOUR, seed=8, position=70),
    shares([1.0, 0.0], seed=77, position=900),
    shares([3.0, 0.0], seed=12),
    shares([0.0] * 8, seed=5),
]
BY_SEED = [
    shares(HALVES, by="seed"),
    shares(FOUR, by="seed", position=3),
    shares([0.0, 1.0], by="seed", seed=2**40),
    shares([0.0] * 8, by="seed", seed=10**6, position=40),
]
EXTREME = [
    far_apart(3000, (3, 2998)),
    shares([0.0, -INF]),
    shares([-INF, 0.0, 0.0]),
    shares([0.0, -INF, -INF, 1.0], seed=9),
    shares([1000.0, 1001.0], seed=1),
    shares([-1000.0, -1000.0, -1002.0], seed=2),
    shares([3000.0, 0.0, 3000.0], seed=3),
    shares([500.0, 501.0, 499.0], seed=4, dtype=torch.float16),
    shares([70000.0, 70001.0, 69999.0], seed=6),
]
LARGE = [spread(1024), spread(2048), spread(8192)]
BESIDE = [
    apart("one position further", (lambda i: (7, i), "7 + 0 * i, i"), (lambda i: (7, i + 1), "7 + 0 * i, i + 1")),
    apart("another seed", (lambda i: (i, 4), "i, 4 + 0 * i"), (lambda i: (i + 1, 4), "i + 1, 4 + 0 * i")),
]
TOGETHER = [
    apart("seed + position is equal", (lambda i: (i, 6), "i, 6 + 0 * i"), (lambda i: (i + 1, 5), "i + 1, 5 + 0 * i")),
    apart("exchanged", (lambda i: (i, 5000), "i, 5000 + 0 * i"), (lambda i: (5000, i), "5000 + 0 * i, i")),
    apart(
        "seed * position is equal",
        (lambda i: (i + 1, 6), "i + 1, 6 + 0 * i"),
        (lambda i: (2 * i + 2, 3), "2 * i + 2, 3 + 0 * i"),
    ),
]
UPPER = [
    apart("bit 32 of the seed", (lambda i: (i, 9), "i, 9 + 0 * i"), (lambda i: (i + 2**32, 9), "i + 2**32, 9 + 0 * i")),
    apart("bit 62 of the seed", (lambda i: (i, 2), "i, 2 + 0 * i"), (lambda i: (i + 2**62, 2), "i + 2**62, 2 + 0 * i")),
    apart(
        "bits 40 and 42 of the seed",
        (lambda i: (3, i), "3 + 0 * i, i"),
        (lambda i: (3 + 5 * 2**40, i), "3 + 5 * 2**40 + 0 * i, i"),
    ),
]
POSITIONS = [
    apart(
        f"bit {bit} of the position",
        (lambda i, bit=bit: (11, i), "11 + 0 * i, i"),
        (lambda i, bit=bit: (11, i + 2**bit), f"11 + 0 * i, i + 2**{bit}"),
    )
    for bit in (10, 16, 24, 30)
]
ROUNDED = [
    apart(
        f"seeds above {name}",
        (lambda i, least=least: (least + i, 8), f"{name} + i, 8 + 0 * i"),
        (lambda i, least=least: (least + i + 1, 8), f"{name} + i + 1, 8 + 0 * i"),
    )
    for name, least in (("2**60", 2**60), ("2**62", 2**62))
]
HALVES_OF_SEED = [
    apart(
        "the sum of the two halves is equal",
        (lambda i: (i + 5, 9), "i + 5, 9 + 0 * i"),
        (lambda i: (i + 5 * 2**32, 9), "i + 5 * 2**32, 9 + 0 * i"),
    ),
    apart(
        "the xor of the two halves is equal",
        (lambda i: (8 * i + 5, 3), "8 * i + 5, 3 + 0 * i"),
        (lambda i: (8 * i + 5 * 2**32, 3), "8 * i + 5 * 2**32, 3 + 0 * i"),
    ),
    apart(
        "the two halves are exchanged",
        (lambda i: (i * 2**32 + 7000, 4), "i * 2**32 + 7000, 4 + 0 * i"),
        (lambda i: (7000 * 2**32 + i, 4), "7000 * 2**32 + i, 4 + 0 * i"),
    ),
]
HALVES_OF_SEED += [
    apart(
        f"a multiple of {factors}",
        (lambda i: (i, 6), "i, 6 + 0 * i"),
        (lambda i, more=more: (i + more, 6), f"i + {more}, 6 + 0 * i"),
    )
    for factors, more in (("1000003, 65537 and 10007", 1_000_003 * 65_537 * 10_007), ("2**31 - 1", (2**31 - 1) * 10**9))
]
UNTOUCHED = [untouched(1, 3, 1), untouched(2, 4, 2), untouched(4, 6, 3)]
