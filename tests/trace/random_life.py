"""A memory that lives at random, for tests that need a trace of one."""

import random
from types import SimpleNamespace

from course_lib.kvcache import BlockAllocator, KVCacheManager
from course_lib.kvcache.windowed import WindowedManager


def random_life(
    steps, num_blocks, size, eviction="lru", seed=0, requests=6, ends=0.02, trace=None, window=None, sinks=0
):
    """A manager that lives for so many steps: admits, writes, forks, frees, runs out of memory, evicts.

    With a window it also gives back what falls out of it. Returns the manager, the requests that are left, and how many
    copies there were.
    """
    draw, names = random.Random(seed), iter(range(10**6))
    allocator = BlockAllocator(num_blocks, size, trace=trace)
    if window is None:
        manager = KVCacheManager(allocator, eviction=eviction)
    else:
        manager = WindowedManager(allocator, window, sinks, most_tokens=400, eviction=eviction)
    running, copies = [], 0
    shared = [draw.randrange(9) for _ in range(min(num_blocks * size // 8, 400))]
    for _ in range(steps):
        if trace is not None:
            trace.next_step()
        if len(running) < requests:
            text = shared[: draw.randrange(len(shared))] + [
                draw.randrange(9) for _ in range(1 + draw.randrange(max(3 * size, 300 if num_blocks > 1000 else 0)))
            ]
            r = SimpleNamespace(request_id=f"r{next(names)}", token_ids=text, priority=draw.randrange(3))
            if manager.allocate_slots(r, len(text) - manager.match_prefix(r)) is not None:
                manager.commit(r, len(text))
                running.append(r)
        if running and draw.random() < 5 * ends:
            r = draw.choice(running)
            child = SimpleNamespace(request_id=f"r{next(names)}", token_ids=r.token_ids[:], priority=0)
            manager.fork(r, child)
            running.append(child)
        for r in running[:]:
            r.token_ids.append(draw.randrange(9))
            room = manager.allocate_slots(r, 1)
            copies += len(manager.allocator.copies)
            manager.allocator.copies.clear()
            if room is None or draw.random() < ends:
                if trace is not None:
                    trace.text(r.request_id, [f" t{t}" for t in r.token_ids])
                manager.free(r)
                running.remove(r)
            else:
                manager.commit(r, len(r.token_ids))
    return manager, running, copies
