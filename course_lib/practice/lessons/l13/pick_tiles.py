"""The exercise 13.pick_tiles: the tiles of an attention kernel, by shared memory and multiprocessors."""

from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import PRINTED, as_python, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .pick_tiles_mistakes import MISTAKES
from .solutions.pick_tiles import pick_tiles


def pick_tiles_in_loops(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """Goes from the largest tiles to the smallest, and stops at the first that will do."""
    width = 1
    while width < head_dim:
        width *= 2
    fallback = None
    for block_m in (128, 64, 32, 16):
        programs = sum((n + block_m - 1) // block_m for n in query_lens) * num_heads
        for block_n in (128, 64, 32, 16):
            tiles = block_m + stages * (block_n + block_n)
            if tiles * width * itemsize <= shared_memory:
                if programs >= sms:
                    return [block_m, block_n]
                fallback = [block_m, block_n]  # the last one that is kept has block_m 16
                break
    return fallback


def pick_tiles_by_room(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """Finds the rows that keep all multiprocessors busy, then what room is left for block_n."""
    row = itemsize * (1 << (head_dim - 1).bit_length())
    room = shared_memory // row
    rows = [m for m in (16, 32, 64, 128) if m == 16 or num_heads * sum(-(-n // m) for n in query_lens) >= sms]
    for block_m in reversed(rows):
        most = (room - block_m) // (2 * stages)
        if most >= 16:
            return block_m, min(128, 1 << (most.bit_length() - 1))
    return None


def tiles(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=None, note=""):
    """The Trial of one call. stages: None leaves the argument out."""
    more = {} if stages is None else {"stages": stages}

    def act(answer):
        got = answer(head_dim, itemsize, shared_memory, sms, list(query_lens), num_heads, **more)
        if got is None:
            return None
        if not isinstance(got, (tuple, list)) or len(got) != 2:
            raise CourseError(f"pick_tiles returned {got!r}; it must return a pair (block_m, block_n), or None.")
        return tuple(map(as_python, got))

    call = f"pick_tiles({head_dim}, {itemsize}, {shared_memory}, {sms}, {list(query_lens)}, {num_heads}"
    call += ")" if stages is None else f", stages={stages})"
    size = 100 * len(query_lens) + sum(query_lens) + sms + (shared_memory + head_dim) // 100
    return Trial([call], act, note=note, size=size)


def untouched(query_lens):
    def act(answer):
        given = list(query_lens)
        answer(64, 2, 65_536, 8, given, 2)
        return given

    story = [f"query_lens = {list(query_lens)}", "pick_tiles(64, 2, 65_536, 8, query_lens, 2)", "query_lens"]
    return Trial(story, act, note="unchanged", size=sum(query_lens))


# One row of a tile with head_dim 64 and 2 bytes is 128 bytes; (16, 16) with two stages is 80 rows.
FITS = [
    tiles(64, 2, 14_336, 1, [128], 1, 3, note="(16 + 2 · 3 · 16) · 64 · 2 = 14,336 bytes fit exactly"),
    tiles(64, 2, 14_335, 1, [128], 1, 3),
    tiles(64, 2, 10_240, 1, [128], 1, 3, note="the smallest tiles take 14,336 bytes with 3 stages"),
    tiles(64, 2, 10_240, 1, [128], 1, note="(16 + 2 · 2 · 16) · 64 · 2 = 10,240 bytes fit exactly"),
    tiles(64, 2, 10_239, 1, [128], 1, note="the smallest tiles take 10,240 bytes"),
    tiles(64, 2, 81_920, 1, [128], 1, note="(128 + 2 · 2 · 128) · 64 · 2 = 81,920 bytes fit exactly"),
    tiles(64, 2, 81_919, 1, [128], 1),
    tiles(64, 2, 49_152, 1, [128], 1, note="(128 + 2 · 2 · 64) · 64 · 2 = 49,152 bytes fit exactly"),
    tiles(64, 2, 49_151, 1, [128], 1),
    tiles(64, 2, 24_576, 1, [128], 1),
    tiles(64, 2, 18_432, 1, [128], 1),
    tiles(128, 2, 18_432, 1, [128], 1),
    tiles(32, 2, 1_000_000, 1, [128], 1, note="no side is above 128"),
    tiles(16, 2, 2_559, 1, [128], 1, note="the smallest tiles take 2,560 bytes"),
    tiles(16, 2, 2_560, 1, [128], 1, note="(16 + 2 · 2 · 16) · 16 · 2 = 2,560 bytes fit exactly"),
    tiles(32, 2, 5_120, 1, [128], 1),
    tiles(16, 2, 5_000, 1, [128], 1),
    tiles(32, 2, 20_480, 1, [128], 1),
]
SIZES = [
    tiles(64, 4, 20_480, 1, [128], 1, note="(16 + 2 · 2 · 16) · 64 · 4 bytes"),
    tiles(64, 4, 65_536, 1, [128], 1),
    tiles(64, 1, 65_536, 1, [128], 1),
    tiles(64, 4, 98_304, 1, [128], 1),
    tiles(128, 1, 49_152, 1, [128], 1),
    tiles(80, 2, 65_536, 1, [128], 1, note="head_dim 80 takes as much as 128"),
    tiles(96, 2, 98_304, 1, [128], 1, note="head_dim 96 takes as much as 128"),
    tiles(65, 2, 49_152, 1, [128], 1),
    tiles(48, 4, 40_000, 1, [128], 1, note="head_dim 48 takes as much as 64"),
    tiles(72, 4, 20_480, 1, [128], 1),
    tiles(80, 2, 24_576, 1, [128], 1),
    tiles(65, 2, 24_576, 1, [128], 1),
    tiles(72, 4, 49_152, 1, [128], 1),
    tiles(96, 2, 49_152, 1, [128], 1),
    tiles(8, 2, 5_120, 1, [128], 1, note="head_dim 8 takes 8"),
    tiles(5, 4, 10_240, 1, [128], 1, note="head_dim 5 takes as much as 8"),
    tiles(1, 2, 1_280, 1, [128], 1, note="head_dim 1 takes 1"),
    tiles(2, 1, 320, 1, [128], 1),
]
STAGES = [
    tiles(64, 2, 6_144, 1, [128], 1, 1, note="(16 + 2 · 16) · 64 · 2 = 6,144 bytes fit exactly"),
    tiles(64, 2, 49_152, 1, [128], 1, 1),
    tiles(64, 2, 49_152, 1, [128], 1, 2),
    tiles(64, 2, 49_152, 1, [128], 1, 3),
    tiles(64, 2, 49_152, 1, [128], 1, 4),
    tiles(128, 2, 229_376, 1, [128], 1, 3),
    tiles(128, 2, 229_375, 1, [128], 1, 3),
    tiles(64, 2, 14_000, 1, [128], 1, 3),
]
BUSY = [
    tiles(64, 2, 100_000, 1, [16], 1),
    tiles(64, 2, 100_000, 2, [128], 1, note="2 tiles of 64 queries are 2 programs"),
    tiles(64, 2, 100_000, 3, [128], 1),
    tiles(64, 2, 100_000, 2, [129], 1, note="129 queries are 2 tiles of 128"),
    tiles(64, 2, 100_000, 4, [128], 4, note="4 heads are 4 programs"),
    tiles(64, 2, 100_000, 5, [128], 4),
    tiles(64, 2, 100_000, 8, [128], 4),
    tiles(64, 2, 100_000, 9, [128], 4),
    tiles(64, 2, 40_000, 40, [512], 8),
    tiles(64, 2, 40_000, 33, [512], 8),
]
SEVERAL = [
    tiles(64, 2, 100_000, 2, [10, 10], 1, note="each sequence has programs of its own: 1 + 1"),
    tiles(64, 2, 100_000, 3, [10, 130], 1, note="1 + 2"),
    tiles(64, 2, 100_000, 4, [10, 130], 1),
    tiles(64, 2, 100_000, 5, [130, 10, 10], 1),
    tiles(64, 2, 100_000, 12, [130, 10, 70], 3),
    tiles(64, 2, 100_000, 13, [130, 10, 70], 3),
    tiles(64, 2, 100_000, 7, [1, 1, 1, 200], 1),
    tiles(64, 2, 100_000, 8, [100, 100, 100, 1], 1),
    tiles(64, 2, 100_000, 10, [300, 20], 2),
    tiles(64, 2, 100_000, 1, [30, 20], 1),
    tiles(64, 2, 100_000, 4, [40, 20], 2),
]
IDLE = [
    tiles(64, 2, 100_000, 2, [16], 1, note="never more than 1 program"),
    tiles(64, 2, 100_000, 9, [128], 1, note="8 programs at most"),
    tiles(64, 2, 14_336, 40, [64], 2),
    tiles(64, 2, 40_000, 132, [20, 30], 8),
    tiles(128, 2, 30_000, 108, [1], 32),
    tiles(64, 2, 10_000, 100, [16], 1, note="the smallest tiles take 10,240 bytes"),
]
T4, A100, L4, H100 = (65_536, 40), (166_912, 108), (101_376, 58), (232_448, 132)
REAL = [
    tiles(head_dim, 2, *chip, lens, heads, stages)
    for chip, stages in ((T4, 1), (A100, 2), (L4, 2), (H100, 3))
    for head_dim, lens, heads in ((128, [2048] * 4, 32), (64, [512], 16), (256, [8192], 8), (128, [100, 900], 8))
]
UNTOUCHED = [untouched([5]), untouched([300, 20]), untouched([20, 300, 7])]

PICK_TILES = Exercise(
    id="13.pick_tiles",
    title="Tiles for a chip and its work",
    name="pick_tiles",
    cases="cases",
    properties=[
        Property(
            "The tiles fit the shared memory: of the largest block_m that fits, the largest block_n",
            "A program of the kernel holds a tile of Q, and for each stage a tile of K and one of V.",
            FITS,
        ),
        Property(
            "A row of a tile takes `itemsize` bytes for each number, and its length is a power of two",
            "`tl.arange` gives powers of two only. Lanes after the end of the head are masked, but they take memory.",
            SIZES,
        ),
        Property(
            "K and V are held once for each stage, Q once",
            "While one tile of K and V is used, the next ones are on their way. The tile of Q stays.",
            STAGES,
        ),
        Property(
            "Every multiprocessor gets a program, where smaller tiles make that possible",
            "A multiprocessor without a program does nothing while others work. Exactly one program each is enough.",
            BUSY,
        ),
        Property(
            "Each sequence has programs of its own",
            "A tile holds queries of one sequence, as another sequence has other keys. So each length is rounded up.",
            SEVERAL,
        ),
        Property(
            "Where nothing keeps all multiprocessors busy, block_m is 16, with the largest block_n that fits",
            "The smallest tiles make the most programs. None is returned only where nothing fits.",
            IDLE,
        ),
        Property(
            "The same holds for real chips and shapes",
            "A T4, an A100, an L4 and an H100, with the shared memory of a program and the multiprocessors of each.",
            REAL,
        ),
        Property("The caller's list is not changed", "The launcher of the kernel needs it next.", UNTOUCHED),
    ],
    mistakes=[
        PRINTED,
        *MISTAKES,
        Mistake(
            "the caller's list is changed.",
            "`query_lens` belongs to the caller. Use a list of your own.",
            is_made_by=writes_into(UNTOUCHED),
        ),
    ],
    hints=[
        "There are only 16 pairs of sides. Go through all of them: which fit, and how many programs does each make?",
        "Bytes: `(block_m + 2 * stages * block_n) * width * itemsize`, where `width` is head_dim rounded up to a power "
        "of two: `1 << (head_dim - 1).bit_length()`.",
        "Programs: `num_heads * sum(-(-n // block_m) for n in query_lens)`. `-(-n // m)` divides and rounds up.",
        "`max` of pairs takes the largest block_m, then the largest block_n. Take it of the pairs that fit and keep "
        "all busy; where there is none, of the pairs that fit and have block_m 16; where there is none, return None.",
    ],
    rights=[pick_tiles, pick_tiles_in_loops, pick_tiles_by_room],
    why="Each program reads all keys and values of its head once. Twice the rows in a tile are half the programs, and "
    "half the bytes read: so block_m comes first. Real tables also count registers: "
    "`course_lib/attention/tiles.py`, and vLLM's and FlashAttention's lists of tile sizes by chip.",
)
