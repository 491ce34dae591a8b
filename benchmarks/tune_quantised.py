"""Times tiles and splits of paged_decode over quantised caches on this GPU: lesson 14's shape, 64 requests of 4,096
tokens.

    python benchmarks/tune_quantised.py [--kinds auto,int8,fp8,int4] [--best 6] [--compile --part 0/4]

--compile compiles the tiles and times nothing, so that several processes can do it at once, a part each. Before a tile
is timed, its result is compared with the torch twin.
"""

import itertools

import torch
import typer
from lesson14 import Caches
from timing import kernel_seconds

from course_lib.attention.kernels.paged import paged_decode
from course_lib.attention.reference import twins
from course_lib.attention.tiles import Tile

TILES = [
    Tile(16, n, w, s)
    for (n, w), s in itertools.product(((64, 4), (64, 2), (128, 8), (128, 4), (128, 2), (32, 2), (32, 1)), (2, 3, 4))
    if n < 128 or s == 2
]
SPLITS = (None, 1, 2, 3, 4, 6, 8)


def main(kinds: str = "auto,int8,fp8,int4", compile: bool = False, best: int = 6, tiles: str = "", part: str = "0/1"):
    caches = Caches(torch.device("cuda"), quick=False)
    chosen = [Tile(16, *map(int, tile.split("x"))) for tile in tiles.split(",") if tile] or TILES
    number, parts = map(int, part.split("/"))
    chosen = chosen[number::parts]
    for kind in kinds.split(","):
        k, v, scales = caches.pools[kind]

        def call(tile, splits, k=k, v=v, scales=scales):
            return paged_decode(caches.q, k, v, caches.tables, caches.lens, **scales, tile=tile, splits=splits)

        exact = caches.call(kind, twins).float()
        sound = []
        for tile in chosen:
            try:
                error = float((call(tile, 2).float() - exact).abs().max())
            except Exception as problem:
                print(kind, tile, type(problem).__name__, str(problem)[:80], flush=True)
                continue
            if error < 0.02:
                sound.append(tile)
            else:
                print(kind, tile, "is wrong by", error, flush=True)
        if compile:
            continue
        took = kernel_seconds({(t, None): (lambda t=t: call(t, None)) for t in sound}, 12, "cuda")
        for tile, _ in sorted(took, key=took.get)[:3]:
            took |= kernel_seconds({(tile, s): (lambda s=s: call(tile, s)) for s in SPLITS}, 12, "cuda")
        bytes_read = sum(x.nbytes for x in (k, v, *scales.values()))
        for (tile, splits), seconds in sorted(took.items(), key=lambda item: item[1])[:best]:
            numbers = f"{tile.block_n}x{tile.num_warps}x{tile.num_stages}"
            print(f"{kind:6} {1e6 * seconds:7.1f} µs  {bytes_read / seconds / 1e12:5.2f} TB/s  tile {numbers:9} "
                  f"splits {splits or 'by rule'}   of {len(sound)} tiles", flush=True)  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
