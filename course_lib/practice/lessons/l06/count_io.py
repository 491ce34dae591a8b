"""06.count_io: bytes moved between slow and fast memory, counted without running the attention."""

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .count_io_answers import io_by_pairs, io_by_running, io_without_first_reads, wrong
from .solutions.count_io import count_io


def asks(algorithm, n, head_dim=4, tile=(2, 2), itemsize=1, causal=False):
    return Trial(
        [f'count_io("{algorithm}", n={n}, head_dim={head_dim}, tile={tile}, itemsize={itemsize}, causal={causal})'],
        lambda answer: answer(algorithm, n, head_dim, tile, itemsize, causal),
        show=with_commas,
        note="(read, written)",
        explain=lambda expected, got: explain(expected, got, tiles_of(algorithm, n, tile, causal)),
        size=n * head_dim + itemsize + sum(tile),
    )


def with_commas(result):
    if isinstance(result, tuple) and all(type(x) in (int, float) for x in result):
        return "(" + ", ".join(f"{x:,}" for x in result) + ")"
    return repr(result)


def tiles_of(algorithm, n, tile, causal):
    """The tiles that are moved, in a sentence: "Tiles: rows 0-1 with keys 0-0, …"; "" where they are many."""
    pairs = [
        (r, min(r + tile[0], n), c, min(c + tile[1], n)) for r in range(0, n, tile[0]) for c in range(0, n, tile[1])
    ]
    met = [pair for pair in pairs if not causal or pair[2] < pair[1]]
    if algorithm == "standard" or len(met) > 6:
        return ""
    return "Tiles that have a pair: " + ", ".join(f"rows {a}-{b - 1} with keys {c}-{d - 1}" for a, b, c, d in met) + "."


def explain(expected, got, tiles):
    if not isinstance(got, tuple) or len(got) != 2:
        return "The exercise asks for two numbers: bytes read and bytes written."
    if any(type(x) is not int for x in got):
        return "Bytes are integers: use `int`."
    if got[::-1] == expected:
        return "The two numbers are exchanged."
    off = [
        f"{abs(mine - want):,} bytes too {'few' if mine < want else 'many'} are {name}"
        for name, want, mine in zip(("read", "written"), expected, got)
        if mine != want
    ]
    return f"{' and '.join(off)}. {tiles}".rstrip()


FLASH_SIZES = [(2, (2, 2)), (4, (2, 2)), (8, (4, 2)), (8, (2, 4)), (12, (4, 4))]
ONE_PAIR = [(2, (1, 1)), (2, (2, 1)), (6, (3, 2)), (12, (4, 3))]
"""Causal tiles in which only the last row sees a key: the one of the first column."""

COUNT_IO = Exercise(
    id="06.count_io",
    title="Bytes moved",
    name="count_io",
    cases="calls",
    properties=[
        Property(
            "Standard attention moves the score matrix four times",
            "The scores are written and then read for the softmax. The weights are written and then read. A mask "
            "changes nothing.",
            [asks("standard", n) for n in (1, 2, 4, 8)] + [asks("standard", n, causal=True) for n in (2, 4, 8)],
        ),
        Property(
            "FlashAttention-2 reads q once, and k and v once for each tile of rows",
            "A tile of queries stays in fast memory while the tiles of keys and values are read. The output is "
            "written once.",
            [asks("flash 2", n, tile=tile) for n, tile in FLASH_SIZES],
        ),
        Property(
            "The first FlashAttention reads k and v once, and q and the output for each tile of columns",
            "A tile of keys stays in fast memory. Each tile of queries is read with its unfinished output.",
            [asks("flash 1", n, tile=tile) for n, tile in FLASH_SIZES],
        ),
        Property(
            "Under the causal mask, fully masked tiles are not moved",
            "A tile above the diagonal is not loaded. A tile on the diagonal is.",
            [
                asks(algorithm, n, tile=tile, causal=True)
                for algorithm in ("flash 1", "flash 2")
                for n, tile in [*FLASH_SIZES, *ONE_PAIR]
            ],
        ),
        Property(
            "A shorter last tile moves only its own rows and columns",
            "There are no rows or columns after the end to read.",
            [
                asks(algorithm, n, tile=tile, causal=causal)
                for algorithm in ("flash 1", "flash 2")
                for causal in (False, True)
                for n, tile in ((3, (2, 2)), (5, (2, 4)), (7, (4, 2)))
            ],
        ),
        Property(
            "The bytes are the count of numbers times the size of a number",
            "A float32 takes 4 bytes, a bfloat16 takes 2.",
            [asks(algorithm, 4, itemsize=size) for algorithm in ("standard", "flash 1", "flash 2") for size in (2, 4)],
        ),
        Property(
            "The same holds at real sizes",
            "One head of 128 numbers over 1,024 tokens in bfloat16, and others.",
            [
                asks(algorithm, n, d, (128, 64), 2, True)
                for algorithm in ("standard", "flash 1", "flash 2")
                for n, d in ((512, 64), (1024, 128), (1000, 80))
            ],
        ),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "read and written are exchanged.",
            "First the bytes read from slow memory, then the bytes written to it.",
            wrong(pairs=lambda r, w: (w, r)),
        ),
        Mistake(
            "read and written are added.",
            "The exercise asks for two numbers: (read, written).",
            wrong(pairs=lambda r, w: r + w),
        ),
        Mistake(
            "the score matrix is moved too few times.",
            "Scores are written and read, weights are written and read: four times in all.",
            (
                wrong(matrix=(1, 1)),
                wrong(matrix=(2, 1)),
                wrong(matrix=(1, 2)),
                wrong(matrix=(0, 0)),
                wrong(matrix=(1, 0)),
                wrong(matrix=(0, 1)),
            ),
        ),
        Mistake(
            "the masked half of the matrix is left out.",
            "Standard attention makes the whole matrix and masks it afterwards. All of it is moved.",
            wrong(half_matrix=True),
        ),
        Mistake(
            "the two algorithms are exchanged.",
            "The outer loop of the first FlashAttention is over keys and values, its inner loop over queries. In "
            "FlashAttention-2 the outer loop is over queries.",
            wrong(swap=True),
        ),
        Mistake(
            "k and v are read only once in FlashAttention-2.",
            "Every tile of rows reads all keys and values that its mask allows.",
            wrong(kv_once=True),
        ),
        Mistake(
            "q is read again for every tile of columns.",
            "In FlashAttention-2 a tile of queries stays in fast memory until its output is complete.",
            wrong(q_again=True),
        ),
        Mistake(
            "the unfinished output is not read.",
            "In the first FlashAttention it is read from slow memory again for every tile of keys.",
            wrong(out_again=False),
        ),
        Mistake(
            "n × head_dim numbers too few are read in the first FlashAttention.",
            "Both k and v are read once. The output is read for every tile of keys that it meets, the first time too, "
            "when it holds zeros.",
            io_without_first_reads,
        ),
        Mistake(
            "the output is written only once in the first FlashAttention.",
            "There it is written to slow memory after every tile of keys.",
            wrong(rewrites=False),
        ),
        Mistake(
            "tiles above the diagonal are moved.",
            "With causal=True a tile whose first column is after its last row is skipped and moves no bytes.",
            wrong(skips=False),
        ),
        Mistake(
            "tiles on the diagonal are skipped.",
            "They hold pairs that are not masked: skip a tile only when its first column is after its *last* row.",
            (wrong(seen=lambda c0, r0, r1: c0 < r0), wrong(seen=lambda c0, r0, r1: c0 < r1 - 1)),
        ),
        Mistake(
            "a tile is skipped by its first row.",
            "Later rows see more keys: skip a tile only when its first column is after its *last* row.",
            wrong(seen=lambda c0, r0, r1: c0 <= r0),
        ),
        Mistake(
            "tiles are skipped by their number.",
            "Tile 1 of the columns is above tile 0 of the rows only where both have the same size. Compare positions: "
            "the first column of the one with the last row of the other.",
            wrong(by_number=True),
        ),
        Mistake(
            "the initial zeros of the output are counted.",
            "Writing them is not counted: count a write of the output for each tile of keys that updates it.",
            wrong(zeros=True),
        ),
        Mistake(
            "a shorter last tile is counted as a full one.",
            "It has only the remaining rows or columns: min(tile, n - start).",
            (wrong(whole_tiles=True), wrong(whole_tiles="all")),
        ),
        Mistake(
            "rows and columns of the tile are exchanged.",
            "`tile` is (rows, columns): queries and keys.",
            wrong(tile_order=-1),
        ),
        Mistake("numbers are counted, not bytes.", "Each number takes `itemsize` bytes.", wrong(size=lambda s: 1)),
    ],
    hints=[
        "Count numbers first, and multiply by `itemsize` at the end. q, k, v and the output have n × head_dim numbers "
        "each; the matrix has n × n.",
        "standard: reads q, k, v, scores, weights; writes scores, weights, output.",
        "flash 2: for each tile of rows, read its q once, then k and v of every tile of columns that is not skipped; "
        "write the output once.",
        "flash 1: for each tile of columns, read its k and v once, then q and the output of every tile of rows that "
        "is not skipped, and write that output.",
        "A tile is skipped when causal and its first column is at or beyond the end of its rows. The last tile has "
        "min(tile, n - start).",
    ],
    rights=[count_io, io_by_running, io_by_pairs],
    why="A tile that stays in fast memory is counted once. The tensors of the inner loop are counted once for each "
    "tile that stays. That is why a tile should be as large as fast memory allows.",
)
