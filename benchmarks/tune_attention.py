"""Times tile sizes on this GPU and prints the fastest for each shape, for the tables of course_lib/attention/tiles.py.

    python benchmarks/tune_attention.py flash|decode|paged [--seconds 240] [--rows 0 3]

Tiles that do not fit the shared memory, or do not compile, are skipped. Each tile is compiled once, which takes
minutes.
"""

import argparse
import itertools
import time

import torch
from attention_shapes import BLOCK_SIZE, CHUNK, DECODE, PREFILL, draw, paged
from timing import kernel_seconds

from course_lib.attention import tiles
from course_lib.attention.kernels.flash import flash_attention
from course_lib.attention.kernels.paged import paged_attention, paged_decode
from course_lib.attention.tiles import Tile


def flash_shapes():
    for batch, heads, kv_heads, tokens, head_dim in PREFILL:
        q, k, v = (draw(batch * tokens, n, head_dim) for n in (heads, kv_heads, kv_heads))
        cu = torch.arange(0, batch * tokens + 1, tokens, device="cuda", dtype=torch.int32)
        yield (
            f"B{batch} H{heads}/{kv_heads} S{tokens} D{head_dim}",
            lambda tile, splits: flash_attention(q, k, v, cu, tile=tile),
        )


def paged_shapes():
    heads, kv_heads, cached, new, head_dim = CHUNK
    for dim in (head_dim, 64):
        q, cu = draw(new, heads, dim), torch.tensor([0, new], device="cuda", dtype=torch.int32)
        cache = paged(1, kv_heads, cached + new, dim)
        yield f"{new} over {cached} D{dim}", lambda tile, splits: paged_attention(q, *cache, cu, tile=tile)


def decode_shapes():
    for batch, heads, kv_heads, context, head_dim in DECODE:
        q, cache = draw(batch, heads, head_dim), paged(batch, kv_heads, context, head_dim)
        yield (
            f"B{batch} H{heads}/{kv_heads} ctx {context} D{head_dim}",
            lambda tile, splits: paged_decode(
                q,
                *cache,
                tile=tile,
                splits=splits
                or tiles.decode_splits(
                    batch, kv_heads, -(-context // BLOCK_SIZE) * BLOCK_SIZE, tiles.multiprocessors("cuda")
                ),
            ),
        )


def search(call, tiles_to_try, splits_to_try, stop):
    """{(tile, splits): microseconds}: every tile with the default splits, then the three best with all splits.

    splits: None for the default. stop: the time.monotonic() after which nothing more is tried.
    """
    found = {}

    def try_one(tile, splits):
        if time.monotonic() > stop:
            return
        try:
            with torch.inference_mode():
                call(tile, splits)
                found[tile, splits] = 1e6 * kernel_seconds({"": lambda: call(tile, splits)}, 8, "cuda")[""]
        except Exception as error:  # most often out of shared memory
            if "out of resource" not in str(error).lower():
                print(f"  {tile}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")

    for tile in tiles_to_try:
        try_one(tile, None)
    for tile, _ in sorted(found, key=found.get)[:3]:
        for splits in splits_to_try:
            try_one(tile, splits)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kernel", choices=["flash", "decode", "paged"])
    parser.add_argument("--seconds", type=float, default=240, help="for all shapes together, divided equally")
    parser.add_argument("--rows", type=int, nargs="*", help="which shapes of the table, from 0; default: all")
    parser.add_argument("--best", type=int, default=4, help="how many to print for each shape")
    args = parser.parse_args()
    torch.manual_seed(0)
    end = time.monotonic() + args.seconds
    if args.kernel == "decode":
        shapes, splits = decode_shapes(), (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
        tiles_to_try = [Tile(16, n, w, s) for n, w, s in itertools.product((64, 128, 32), (4, 8), (3, 2, 4))]
    else:
        shapes, splits = flash_shapes() if args.kernel == "flash" else paged_shapes(), ()
        rows_and_warps = ((128, 8), (64, 4), (128, 4))
        tiles_to_try = [Tile(m, n, w, s) for (m, w), n, s in itertools.product(rows_and_warps, (128, 64), (3, 2, 4))]
    number = {"flash": len(PREFILL), "decode": len(DECODE), "paged": 2}[args.kernel]
    chosen = [row for row in range(number) if args.rows is None or row in args.rows]
    for row, (label, call) in enumerate(shapes):
        if row not in chosen:
            continue
        left = end - time.monotonic()
        found = search(call, tiles_to_try, splits, time.monotonic() + left / (len(chosen) - chosen.index(row)))
        for (tile, parts), us in sorted(found.items(), key=lambda item: item[1])[: args.best]:
            numbers = f"{tile.block_m}, {tile.block_n}, {tile.num_warps}, {tile.num_stages}"
            parts = f", splits {parts or 'by rule'}" if args.kernel == "decode" else ""
            print(f"{label:32} {us:9.1f} us   Tile({numbers}){parts}   of {len(found)} tried", flush=True)


if __name__ == "__main__":
    main()
