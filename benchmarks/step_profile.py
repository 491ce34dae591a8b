"""What a step of the engine is made of: time on the CPU, time of its graph alone, and each kernel's share of it."""

import time

import torch

from course_lib.engine.runner import Tokens


def cpu_ms(engine, times):
    """Milliseconds of a step on the CPU, without waiting for the GPU."""
    waited, wait = 0.0, Tokens.wait

    def timed(self):
        nonlocal waited
        began = time.perf_counter()
        found = wait(self)
        waited += time.perf_counter() - began
        return found

    Tokens.wait, began = timed, time.perf_counter()
    for _ in range(times):
        engine.step()
    took, Tokens.wait = time.perf_counter() - began, wait
    return (took - waited) / times * 1e3


def alone_us(profile):
    """{kernel: (µs, launches)}, largest first, of a profile; and "no kernel": what passed between two of them.

    A kernel that starts while the one before still runs waits for it for the most part (programmatic dependent
    launch). So each counts from the end of the one before to its own: the parts add up to the time that passed.
    """
    on_gpu = [e.time_range for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    names = [e.name for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    found, before = {}, None
    for span, name in sorted(zip(on_gpu, names), key=lambda one: one[0].end):
        begin = span.start if before is None else max(span.start, before)
        parts = [(name, span.end - begin, 1)]
        if before is not None and span.start > before:
            parts.append(("no kernel", span.start - before, 0))
        for key, us, count in parts:
            known = found.get(key, (0, 0))
            found[key] = known[0] + us, known[1] + count
        before = span.end
    return dict(sorted(found.items(), key=lambda one: -one[1][0]))


def replay_ms(graph, times=20):
    """Milliseconds of a graph alone, one replay after the other."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    graph.replay()
    begin.record()
    for _ in range(times):
        graph.replay()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / times
