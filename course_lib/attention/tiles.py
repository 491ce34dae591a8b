"""The tile sizes of each kernel, by chip. Plain data, which needs no Triton.

The tiles must fit the shared memory of a thread block (bytes, below) with `num_stages` tiles of K and V in flight, and
the accumulator must fit the registers. tests/kernels_compile checks both for every chip, without having the chip.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch

SHARED_MEMORY = {
    "sm_75": 65_536,
    "sm_80": 166_912,
    "sm_89": 101_376,
    "sm_90": 232_448,
    "sm_100": 232_448,
    "sm_120": 101_376,
    "gfx942": 65_536,
}


@dataclass(frozen=True)
class Tile:
    """What one program processes at a time."""

    block_m: int
    """Rows: queries (in paged attention: queries times the query heads of one KV head)."""
    block_n: int
    """Columns: keys and values."""
    num_warps: int = 4
    num_stages: int = 2
    """Tiles of K and V being loaded at the same time."""


# (chip, bytes of an element) -> {largest head_dim: Tile}
FLASH = {
    ("sm_90", 2): {64: Tile(128, 64, 8, 3), 128: Tile(128, 128, 8, 3), 256: Tile(128, 64, 8, 2)},
    ("sm_100", 2): {64: Tile(128, 128, 4, 3), 128: Tile(128, 128, 8, 2), 256: Tile(128, 64, 8, 2)},
    ("sm_80", 2): {64: Tile(128, 64, 4, 3), 128: Tile(128, 64, 8, 3), 256: Tile(64, 64, 8, 2)},
    ("sm_89", 2): {64: Tile(128, 64, 4, 3), 128: Tile(128, 32, 8, 3), 256: Tile(64, 32, 4, 2)},
    ("sm_120", 2): {64: Tile(128, 64, 4, 3), 128: Tile(128, 32, 8, 3), 256: Tile(64, 32, 4, 2)},
    ("sm_75", 2): {64: Tile(32, 32, 4, 1), 128: Tile(16, 32, 4, 1), 256: Tile(16, 16, 4, 1)},
    ("gfx942", 2): {64: Tile(128, 64, 4, 1), 128: Tile(128, 64, 4, 1), 256: Tile(64, 32, 4, 1)},
}
# float32 runs without matrix instructions ("ieee"), so small tiles are as fast.
FLASH_FLOAT32 = {64: Tile(32, 32, 4, 1), 128: Tile(32, 32, 4, 1), 256: Tile(16, 32, 4, 1)}

HOPPER_HEAD_DIMS = {64: 3, 128: 2}
"""{head_dim: tiles of K and V that are loaded at the same time} of the kernel for Hopper alone, kernels/hopper.py.
On an H200, in TFLOP/s, beside the Triton kernel: 565 and 377 on 4 x 2,048 tokens with heads of 128, 431 and 410 on
4 x 4,096 with heads of 64, 454 and 434 on 2 x 8,192 with heads of 64 and no groups."""

# Decode: the rows are the query heads of one KV head, so only block_n is chosen here. {most bytes of a row of K: Tile}
DECODE = {128: Tile(16, 128, 4, 2), 256: Tile(16, 64, 4, 2), 512: Tile(16, 32, 4, 3), 1024: Tile(16, 16, 4, 2)}
DECODE_PROGRAMS = 5  # programs with these tiles that one multiprocessor of Hopper runs at the same time
DECODE_MIN_COLUMNS = 64  # the smallest split that saves time
MOST_SPLITS = 64  # more splits cost more to merge than they save: 93 µs with 99 and 73 with 64, one sequence of 65,536
QUANTISED = {"int8": Tile(16, 32, 1, 3), "fp8": Tile(16, 32, 1, 3), "int4": Tile(16, 64, 2, 3)}
"""{kind: Tile} of paged_decode where it reads words. Few warps, which wait for each other less: 64 requests of 4,096
tokens take 82 µs in int4 on an H200, and 92 with four warps."""
QUANTISED_PROGRAMS = 8  # programs with these tiles that one multiprocessor of Hopper runs at the same time
DECODE_WITHOUT_DOT = 8192  # elements of the product rows x columns x head_dim that one program holds in registers

INTERPRETED = Tile(32, 32)  # small, so that a lesson's few tokens make several tiles


@lru_cache
def chip(device):
    """The name of a device in the tables: sm_90, gfx942, ..., or "interpreter" for a CPU."""
    device = torch.device(device)
    if device.type != "cuda":
        return "interpreter"
    if torch.version.hip:
        return torch.cuda.get_device_properties(device).gcnArchName.partition(":")[0]
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def nearest(name):
    """The chip in the tables to use for `name`: itself, or one with at most as much shared memory."""
    if name in SHARED_MEMORY:
        return name
    if name.startswith("gfx"):
        return "gfx942"
    number = int(name.removeprefix("sm_"))
    older = [n for n in (75, 80, 90, 100, 120) if n <= number]
    return {86: "sm_89", 87: "sm_80", 103: "sm_100", 110: "sm_89"}.get(number, f"sm_{older[-1] if older else 75}")


@lru_cache
def multiprocessors(device):
    """The number of multiprocessors of a GPU; 4 for a CPU, so that the interpreter splits sequences too."""
    device = torch.device(device)
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4


def has_matrix_instructions(name):
    """Whether Triton compiles tl.dot to a matrix instruction for this chip. Not for sm_75 (since Triton 3.4)."""
    return name != "sm_75"


def has_conversion(name, kind, dtype):
    """Whether a kernel may use the chip's own instructions to make numbers in `dtype` of a cache in fp8 or int4.

    For the others it computes them with whole numbers: right everywhere, and slower.
    """
    if kind == "fp8":
        return name in ("sm_89", "sm_90", "sm_100", "sm_120")
    return kind == "int4" and name in ("sm_80", "sm_89", "sm_90", "sm_100", "sm_120") and dtype.itemsize == 2


def flash_tile(name, head_dim, itemsize):
    """The Tile of flash_attention. itemsize: bytes of an element."""
    if name == "interpreter":
        return INTERPRETED
    table = FLASH_FLOAT32 if itemsize == 4 else FLASH[nearest(name), itemsize]
    return next(tile for largest, tile in table.items() if head_dim <= largest)


def paged_tile(name, head_dim, itemsize, group, tokens):
    """The Tile of paged_attention: that of flash_attention, with fewer rows where sequences bring few tokens each.

    group: query heads of one KV head, for which there are rows enough. tokens: that a sequence brings, on average.
    """
    tile, of_token = flash_tile(name, head_dim, itemsize), 1 << max(0, group - 1).bit_length()
    rows = min(tile.block_m, 1 << (tokens * group - 1).bit_length())
    rows = max(16, rows, of_token)
    return Tile(rows, tile.block_n, tile.num_warps if rows > 64 else 4, tile.num_stages)


def decode_tile(name, head_dim, itemsize, group):
    """The Tile of paged_decode. itemsize: bytes of an element. group: query heads of one KV head."""
    rows = 1 << max(0, group - 1).bit_length()
    if name == "interpreter":
        return Tile(max(16, rows), 32)
    if not has_matrix_instructions(name):
        padded = 1 << (max(16, head_dim) - 1).bit_length()
        return Tile(rows, max(4, DECODE_WITHOUT_DOT // (rows * padded)), 4, 1)
    tile = next(tile for largest, tile in DECODE.items() if head_dim * itemsize <= largest)
    return Tile(max(16, rows), tile.block_n, tile.num_warps, 1 if name.startswith("gfx") else tile.num_stages)


def quantised_tile(name, kind, dtype, head_dim, group):
    """(Tile, programs that a multiprocessor runs at the same time) of the kernel that reads a quantised cache as words
    of 16 bits, kernels/quantised_decode. None: it cannot be taken here.

    kind: "plain", "int8", "fp8" or "int4". dtype: of the queries. group: query heads of one KV head.
    """
    is_known = name in ("sm_80", "sm_89", "sm_90", "sm_100", "sm_120") and dtype.itemsize == 2
    if kind not in QUANTISED or not is_known or head_dim % (4 if kind == "int4" else 2):
        return None
    tile = QUANTISED[kind] if head_dim <= 128 and group <= 16 else Tile(16, 64, 4, 2)
    return replace(tile, block_m=max(16, 1 << max(0, group - 1).bit_length())), QUANTISED_PROGRAMS


@lru_cache(maxsize=1024)
def decode_splits(num_seqs, num_kv_heads, most_tokens, sms, programs=DECODE_PROGRAMS):
    """The number of parts that each sequence is split into. It uses shapes alone, because the lengths are on the GPU.

    most_tokens: the tokens that a row of the block table has room for. sms: multiprocessors of the GPU, each of which
    runs `programs` programs at the same time. The most parts are taken with which all programs run at once: with
    more, some would begin when most have ended. As in FlashAttention's num_splits_heuristic.
    """
    most = max(1, min(-(-most_tokens // DECODE_MIN_COLUMNS), MOST_SPLITS))
    return min(most, max(1, programs * sms // (num_seqs * num_kv_heads)))
