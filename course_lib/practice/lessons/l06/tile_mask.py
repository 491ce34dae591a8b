"""06.tile_mask: how much of a tile a mask leaves, from the corners of the tile."""

from bisect import bisect_left

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.running import Raised

from .solutions.tile_mask import tile_mask
from .tile_mask_answers import all_edge, pair_by_pair, tile_by_documents, wrong
from .tile_mask_trials import AMONG_MANY, FAR, HUGE, ONE_SIDE, STRADDLED, asks, grid

TILE_MASK = Exercise(
    id="06.tile_mask",
    title="What a mask leaves of a tile",
    name="tile_mask",
    cases="tiles",
    properties=[
        Property(
            "Bidirectional attention sees every tile",
            'No pair is masked: the result is `"all"` for every tile.',
            [
                asks(r, c, causal=False)
                for r, c in [((0, 1), (0, 1)), ((0, 2), (2, 4)), ((4, 6), (0, 3)), ((2, 3), (5, 9))]
            ],
        ),
        Property(
            "Causal: none above the diagonal, some on it, all below",
            "Row r sees column c if c ≤ r. Of the pairs in a tile, the bottom left one is the first to be seen, and "
            "the top right one the last.",
            grid(1, 2)
            + grid(2, 6)
            + [
                asks((2, 4), (0, 3)),
                asks((1, 3), (0, 3)),
                asks((0, 3), (2, 4)),
                asks((3, 5), (2, 4)),
                asks((0, 4), (3, 6)),
            ],
        ),
        Property(
            "A sliding window of w: a token sees itself and the w - 1 tokens before it",
            "Tiles before the window are skipped, like tiles above the diagonal.",
            grid(2, 6, window=2)
            + grid(2, 8, window=3)
            + [
                asks((3, 4), (0, 1), window=3),
                asks((3, 4), (1, 2), window=3),
                asks((4, 6), (2, 4), window=5),
                asks((5, 6), (5, 6), window=1),
                asks((5, 6), (4, 5), window=1),
                asks((4, 6), (4, 6), window=1),
                asks((4, 8), (0, 2), window=4),
            ],
        ),
        Property(
            "Without the causal mask, the window extends to both sides",
            "A pair is seen if its distance is less than w, before or after the token.",
            grid(2, 6, causal=False, window=2)
            + [
                asks((0, 1), (3, 4), False, 3),
                asks((4, 5), (5, 6), False, 1),
                asks((0, 1), (2, 3), False, 3),
                asks((0, 2), (2, 6), False, 2),
                asks((0, 3), (0, 3), False, 3),
            ],
        ),
        Property(
            "Packed documents do not see each other",
            "`documents` has the start of each document, and the end of the last: [0, 3, 8] is one document of 3 "
            "tokens and one of 5.",
            grid(2, 8, documents=[0, 4, 8])
            + grid(2, 8, documents=[0, 3, 8])
            + grid(2, 6, causal=False, documents=[0, 2, 6])
            + [asks((0, 6), (0, 6), False, None, [0, 6]), asks((0, 4), (0, 4), False, None, [0, 2, 2, 4])]
            + [
                asks((2, 4), (2, 4), False, None, [0, 3, 8]),
                asks((0, 2), (0, 2), False, None, [0, 1, 4]),
                asks((1, 5), (1, 5), False, None, [0, 3, 8]),
                asks((1, 4), (2, 5), False, None, [0, 3, 6]),
            ]
            + STRADDLED
            + ONE_SIDE,
        ),
        Property(
            "Causal mask, window and documents apply together",
            'A tile is `"none"` when one of them masks all its pairs, and `"all"` when none of them masks any pair.',
            [
                asks((2, 5), (3, 7), True, None, [0, 4, 8]),
                asks((2, 4), (3, 6), True, None, [0, 3, 8]),
                asks((1, 3), (2, 5), True, None, [0, 2, 8]),
                asks((2, 5), (0, 3), True, 2, [0, 3, 8]),
                asks((3, 6), (1, 4), True, 2, [0, 4, 8]),
                asks((3, 6), (0, 4), False, 1, [0, 4, 8]),
                asks((1, 4), (3, 6), True, None, [0, 2, 8]),
                asks((4, 8), (4, 8), True, 4, [0, 4, 8]),
                asks((3, 5), (0, 4), True, 2, [0, 4, 8]),
                asks((2, 4), (1, 3), True, 1, [0, 3, 6]),
                asks((2, 3), (0, 1), True, 2, [0, 4]),
                asks((10, 12), (0, 2), True, 3, [0, 20]),
                asks((4, 6), (1, 3), True, 3, [0, 8]),
                asks((0, 1), (3, 4), False, 3, [0, 5]),
                asks((3, 4), (2, 3), True, 2, [0, 3, 6]),
                asks((4, 6), (2, 4), True, 5, [0, 4, 8]),
                asks((2, 3), (3, 4), False, 2, [0, 3, 6]),
                asks((5, 7), (5, 7), False, 4, [0, 4, 8]),
                asks((0, 2), (4, 6), True, 9, [0, 8]),
                asks((2, 3), (3, 4), True, 2, [0, 8]),
                asks((2, 5), (2, 5), True, 3, [0, 8]),
            ],
        ),
        Property(
            "The time does not grow with the tile: ten million tokens take no longer",
            "A kernel does this for every tile, so it may cost only a few comparisons: test the corners, not the "
            "pairs.",
            HUGE,
        ),
        Property("Positions can be of any size", "Only differences of positions count.", FAR),
        Property(
            "With thousands of documents, only a few of their edges are looked at",
            "A batch of packed documents can have thousands, and a kernel asks for every tile.",
            AMONG_MANY,
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the end of a half-open range is taken as its last token.",
            "(0, 2) holds 0 and 1. The last row is rows[1] - 1, the last column is cols[1] - 1.",
            wrong(last=0),
        ),
        Mistake(
            "the causal mask is ignored.",
            "With causal=True a key after the query is not seen.",
            wrong(causal_counts=False),
        ),
        Mistake(
            "a token does not see itself.",
            "Row r sees column c if c ≤ r: the distance 0 is allowed.",
            wrong(itself=False),
        ),
        Mistake(
            "the window is ignored.",
            "With window=w, a key w or more tokens away is not seen.",
            wrong(window_counts=False),
        ),
        Mistake(
            "the window is one token too wide.",
            "The window of w tokens includes the token itself: the largest distance is w - 1.",
            wrong(off=0),
        ),
        Mistake(
            "the window is one token too narrow.",
            "A token sees the w - 1 tokens before it: a distance of w - 1 is still seen.",
            wrong(off=2),
        ),
        Mistake(
            "the window has only one side.",
            "Without the causal mask it includes later tokens too: distances from -(w - 1) to w - 1.",
            wrong(both_sides=False),
        ),
        Mistake(
            "documents are ignored.",
            "Packed documents are in one tensor, but they do not see each other.",
            wrong(documents_count=False),
        ),
        Mistake(
            "only the document of the tile's first tokens is compared.",
            "A document can end in the middle of a tile.",
            wrong(first_only=True),
        ),
        Mistake(
            "the documents of rows and columns are compared only at their starts and at their ends.",
            "A document can end inside the rows and inside the columns at the same index. The first and last row and "
            "the first and last column must all be in one document.",
            (wrong(ends_only=True), wrong(ends_apart=True)),
            lambda answer, found: found.trial in STRADDLED,
        ),
        Mistake(
            "an end of the rows or of the columns is not compared.",
            "The first row, the last row, the first column and the last column must all be in one document.",
            tuple(wrong(unlooked=corner) for corner in range(4)),
            lambda answer, found: found.trial in ONE_SIDE,
        ),
        Mistake(
            "the first token of a document is counted as part of the one before.",
            "An edge is where a document begins: count the edges at or before a token, as `bisect_right` does.",
            wrong(number=bisect_left),
        ),
        Mistake(
            "one condition is ignored when another is given.",
            "Causal mask, window and documents apply together. Test each of them, whatever the others are.",
            (
                wrong(drops=lambda c, w, d: (c, None if d else w, d)),
                wrong(drops=lambda c, w, d: (c, w, None if w else d)),
                wrong(drops=lambda c, w, d: (c and not d, w, d)),
                wrong(drops=lambda c, w, d: (c and not w, w, d)),
                wrong(drops=lambda c, w, d: (c, None if c else w, d)),
                wrong(drops=lambda c, w, d: (c, w, None if c else d)),
            ),
        ),
        Mistake(
            "a causal tile is skipped by its first row.",
            "Later rows see more columns: a tile is fully masked only when its first column is after its *last* row.",
            wrong(skipped_from=(0, 2)),
        ),
        Mistake(
            'a causal tile is called "all" although the diagonal runs through it.',
            "All pairs are seen only when the first row sees the last column: the top right pair.",
            (wrong(whole_from=(1, 3)), wrong(whole_from=(0, 2)), wrong(whole_from=(1, 2))),
        ),
        Mistake(
            "only one corner is tested.",
            'The smallest distance is top right, the largest bottom left: a tile is `"all"` only when both pairs are '
            "seen.",
            all_edge,
        ),
        Mistake(
            'a tile without masked pairs is called "some".',
            "Then the kernel applies the mask to every tile, which costs as much as the scores.",
            wrong(merge=lambda s: "some" if s == "all" else s),
        ),
        Mistake(
            'a fully masked tile is called "some".',
            "Then it is loaded and computed without need.",
            wrong(merge=lambda s: "some" if s == "none" else s),
        ),
        Mistake(
            "rows and columns are exchanged.",
            "Rows are queries, columns are keys: the causal mask hides columns greater than the row.",
            wrong(swap=True),
        ),
        Mistake(
            "all documents are looked at.",
            "The result is right, but a batch may have thousands of documents, and a kernel asks for every tile. The "
            "list is sorted: `bisect_right(documents, position)` halves it.",
            wrong(number=lambda documents, at: sum(edge <= at for edge in documents)),
            is_made_by=lambda answer, found: (
                found.trial in AMONG_MANY and isinstance(found.outcome, tuple) and found.outcome[1] != "few"
            ),
        ),
        Mistake(
            "positions or distances are cut to 32 bits.",
            "Ints of Python have no limit; int32, and a bound such as 2**31, has one.",
            wrong(cut=lambda x: max(-(2**31), min(x, 2**31 - 1))),
            lambda answer, found: found.trial in FAR,
        ),
        Mistake(
            "every pair is tested.",
            "The result is right, but it takes too long: a tile has thousands of pairs. The corners are enough.",
            pair_by_pair,
            is_made_by=lambda answer, found: found.trial in HUGE and isinstance(found.outcome, Raised),
            ends=False,
        ),
    ],
    hints=[
        "The result depends on the distance: position of the query minus position of the key. The causal mask allows "
        "0 and more, a window of w allows at most w - 1.",
        "In a tile of rows (r0, r1) and columns (c0, c1) the distances are all integers from r0 - (c1 - 1), top "
        "right, to (r1 - 1) - c0, bottom left.",
        '"none": the largest distance is below the allowed range, or the smallest is above it. "all": both are in the '
        'range. "some": any other tile.',
        "`bisect_right(documents, position)` numbers the document of a token. If the rows end in an earlier "
        "document than the columns begin, or the columns end in an earlier one than the rows begin, the result is "
        '"none". It is "all" only if the first and last row and the first and last column are in one document.',
    ],
    rights=[tile_mask, tile_by_documents],
    why="The distances in a tile have no gaps, so two corners determine all distances between them. The kernel of "
    "lesson 07 uses this to run most of its tiles without a mask.",
)
