"""Trials of 06.tile_mask."""

from course_lib.practice.fixtures.counting_list import CountingList
from course_lib.practice.judge.exercise import Trial

from .tile_mask_answers import pair_by_pair


def asks(rows, cols, causal=True, window=None, documents=None):
    drawn = "" if rows[1] - rows[0] > 9 or cols[1] - cols[0] > 9 else picture(rows, cols, causal, window, documents)
    return Trial(
        [f"tile_mask(rows={rows}, cols={cols}, causal={causal}, window={window}, documents={documents})"],
        lambda answer: answer(tuple(rows), tuple(cols), causal, window, list(documents) if documents else None),
        note=drawn,
        size=rows[1] - rows[0] + cols[1] - cols[0] + 2 * (window is not None) + 2 * (documents is not None),
    )


def picture(rows, cols, causal, window, documents):
    """The pairs of a tile row by row: x for a pair that is seen, a dot for one that is masked."""
    lines = []
    for r in range(*rows):
        lines.append(
            "".join(
                "x" if pair_by_pair((r, r + 1), (c, c + 1), causal, window, documents) == "all" else "·"
                for c in range(*cols)
            )
        )
    return "row by row, x is seen: " + " ".join(lines)


def grid(size, n, **options):
    return [asks((r, r + size), (c, c + size), **options) for r in range(0, n, size) for c in range(0, n, size)]


def among_many(rows, cols, number, causal=True, window=None):
    """The Trial of how many of the documents' edges are looked at, with `number` documents of 8 tokens."""

    def act(answer):
        documents = CountingList(range(0, 8 * number + 1, 8))
        found = answer(rows, cols, causal, window, documents)
        return found, "few" if documents.looked <= 1000 else f"{documents.looked:,}"

    return Trial(
        [
            "from course_lib.practice.play import CountingList",
            f"documents = CountingList(range(0, {8 * number + 1}, 8))  # {number:,} documents",
            f"tile_mask({rows}, {cols}, {causal}, {window}, documents), documents.looked",
        ],
        act,
        show=lambda result: (
            f"{result[0]!r}, {result[1]} of the edges looked at" if isinstance(result, tuple) else repr(result)
        ),
        size=10 * number,
    )


AMONG_MANY = [
    among_many((80_000, 80_008), (80_000, 80_008), 10_001, False),
    among_many((79_996, 80_004), (79_996, 80_004), 10_001),
    among_many((80_000, 80_008), (79_984, 80_000), 10_001, True, 64),
    among_many((400_000, 400_016), (400_000, 400_008), 100_000, False),
]
STRADDLED = [asks((1, 5), (3, 7), False, None, [0, 2, 4, 6, 8]), asks((3, 7), (1, 5), True, None, [0, 2, 4, 6, 8])]
"""Rows and columns that begin in different documents, end in different ones, and have one in common."""
ONE_SIDE = [
    asks((0, 2), (1, 4), False, None, [0, 3, 8]),
    asks((4, 6), (2, 5), False, None, [0, 3, 8]),
    asks((1, 4), (0, 2), False, None, [0, 3, 8]),
    asks((2, 5), (4, 6), False, None, [0, 3, 8]),
]
"""All rows or all columns are in one document, the others in two."""
FAR = [
    asks((2**40, 2**40 + 8), (2**40 - 8, 2**40), True, 5),
    asks((2**40, 2**40 + 8), (2**40 + 8, 2**40 + 16)),
    asks((2**33, 2**33 + 8), (2**33 - 8, 2**33), False, None, [0, 2**33, 2**34]),
    asks((2**33, 2**33 + 8), (0, 8), True, 2**32),
    asks((2**33, 2**33 + 8), (0, 8), True, 2**33),
    asks((0, 8), (2**33, 2**33 + 8), False, 2**33),
]
HUGE = [
    asks((10**7, 2 * 10**7), (0, 10**7)),
    asks((0, 10**7), (10**7, 2 * 10**7)),
    asks((0, 10**7), (0, 10**7)),
    asks((10**7, 2 * 10**7), (0, 10**7), True, 5),
]
