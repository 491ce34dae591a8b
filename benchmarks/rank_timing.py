"""What benchmarks/tensor_parallel.py lets every rank measure. The other ranks import it by this name."""

import statistics
import time
from contextlib import suppress

import torch
import torch.distributed as dist

REPEATS = 20  # in a graph


def time_sums(me):
    """[{numbers, nccl_us, direct_us, gather_us}]: a sum over the ranks, and a gather, inside of a CUDA graph."""
    group, found = me.group, []
    for numbers in (4096, 8 * 4096, 64 * 4096, 256 * 4096):
        x = torch.zeros(numbers, dtype=torch.bfloat16, device=group.device)
        row = dict(numbers=numbers, nccl_us=graphed_us(lambda x=x: dist.all_reduce(x)))
        if group.direct is not None:
            row["direct_us"] = graphed_us(lambda x=x: group.direct(x))
            row["direct_add_us"] = graphed_us(lambda x=x: group.direct(x, x))
        found.append(row)
    for rows in (1, 64):
        x = torch.zeros(rows, 64128, dtype=torch.bfloat16, device=group.device)
        found.append(dict(rows=rows, columns=64128, gather_us=graphed_us(lambda x=x: group.gather(x))))
    return found


def graphed_us(call):
    """Microseconds of one call among REPEATS in a graph: the median of some replays."""
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(REPEATS):
            call()
    times = []
    for _ in range(9):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / REPEATS * 1e3)
    return round(statistics.median(times), 2)


def replay_ms(me, number, size, times=30):
    """Milliseconds of a decode step of `size` sequences as a graph, one after the other, on all ranks."""
    runner = me.kept[number]
    graph = runner.graphs.graphs[size]
    for i in range(times + 5):
        if i == 5:
            torch.cuda.synchronize()
            began = time.perf_counter()
        graph.replay()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / times * 1e3


def profile(me, number, size, top=14):
    """{kernel: [ms a step, launches a step]} of this rank, largest first."""
    graph = me.kept[number].graphs.graphs[size]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        for _ in range(4):
            graph.replay()
        torch.cuda.synchronize()
    found = {}
    with suppress(ImportError):
        from step_profile import alone_us

        found = {name[:60]: [round(us / 4e3, 4), n // 4] for name, (us, n) in list(alone_us(seen).items())[:top]}
    return found
