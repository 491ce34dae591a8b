"""The time of the ledger's operations, which must not grow with the number of blocks.

    python benchmarks/ledger.py [--repeats 15]

One run, one process, no torch. Two ratios, each of medians of interleaved repeats:

- allocate and free, a block, with a million blocks against a thousand (at most 1.5);
- match_prefix of one prompt, with a cache that holds 500 times as many blocks (at most 1.5), and of a prompt 16 times
  as long in the same cache, for each of its tokens (at most 1.5).
"""

import argparse
import gc
import random
import statistics
import time
from types import SimpleNamespace

from course_lib.kvcache import BlockAllocator, KVCacheManager

BLOCK_SIZE = 16


def churn(num_blocks):
    """A function for the seconds a block of allocate and free, in random order; the same work for every num_blocks."""
    allocator, draw = BlockAllocator(num_blocks, BLOCK_SIZE), random.Random(0)
    allocator.allocate(num_blocks // 2)  # half of the blocks are in use throughout
    held = [allocator.allocate(4) for _ in range(100)]

    def once():
        begin = time.perf_counter()
        for _ in range(2000):
            i = draw.randrange(100)
            allocator.free(held[i])
            held[i] = allocator.allocate(4)
        return (time.perf_counter() - begin) / 8000

    return once


def matching(cached_blocks, prompt_tokens):
    """A function for the seconds a token of match_prefix, for a cached prompt in a cache with other sequences."""
    manager, draw = KVCacheManager(BlockAllocator(cached_blocks, BLOCK_SIZE)), random.Random(1)

    def keep(token_ids):
        request = SimpleNamespace(request_id=0, token_ids=token_ids)
        manager.allocate_slots(request, len(token_ids))
        manager.commit(request, len(token_ids))
        manager.free(request)
        return request

    prompt = [draw.randrange(4096) for _ in range(prompt_tokens)]
    for first in range(0, cached_blocks - prompt_tokens // BLOCK_SIZE - 64, 64):
        keep([first, *(draw.randrange(4096) for _ in range(64 * BLOCK_SIZE - 1))])
    request = keep([*prompt, 1])
    assert manager.match_prefix(request) == prompt_tokens
    rounds = max(1, 32768 // prompt_tokens)

    def once():
        begin = time.perf_counter()
        for _ in range(rounds):
            manager.match_prefix(request)
        return (time.perf_counter() - begin) / rounds / prompt_tokens

    return once


def compare(what, one, other, repeats):
    """Prints the ratio of the medians, other to one; the two take turns."""
    seconds = {one: [], other: []}
    for _ in range(repeats + 1):
        for measured in (one, other):
            seconds[measured].append(measured())
    small, large = (statistics.median(seconds[m][1:]) for m in (one, other))
    print(f"{what:62} {small * 1e9:8.1f} ns {large * 1e9:8.1f} ns   ratio {large / small:.2f}")
    return large / small


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    pairs = [
        ("allocate and free, a block: 1,000 blocks, 1,000,000 blocks", churn(1000), churn(1_000_000)),
        (
            "match a token of a prompt of 1,024: 200 blocks cached, 100,000",
            matching(200, 1024),
            matching(100_000, 1024),
        ),
        ("match a token, 2,000 blocks cached: prompt of 1,024, of 16,384", matching(2000, 1024), matching(2000, 16384)),
    ]
    gc.collect()
    gc.freeze()  # otherwise each collection would examine a million objects that stay
    worst = max(compare(*pair, repeats) for pair in pairs)
    print(f"The largest ratio is {worst:.2f}; {'' if worst <= 1.5 else 'NOT '}within 1.5.")
    raise SystemExit(worst > 1.5)


if __name__ == "__main__":
    main()
