"""Whether allocating a block in 04.allocator costs the same with few and with many blocks."""

import time

from course_lib.practice.judge.exercise import Counterexample, Trial
from course_lib.practice.judge.outcome_text import written
from course_lib.practice.judge.running import Raised

SLOW = object()
"""The outcome of an answer for which a block costs more where there are many blocks."""
SMALL, LARGE, MOST = 1_000, 256_000, 10
LEAST_ROUNDS, MOST_ROUNDS = 5, 20


def allocation_cost(answer, num_blocks):
    """Seconds to allocate and free 100 blocks, one by one, while other blocks are in use; the best of five."""
    allocator = partly_used(answer, num_blocks)
    return min(in_and_out(allocator) for _ in range(5))


def partly_used(answer, num_blocks):
    """An allocator of num_blocks blocks, one in 25 of them allocated."""
    allocator = answer(num_blocks, 16)
    allocator.allocate(num_blocks // 25)
    return allocator


def in_and_out(allocator):
    """Seconds for 100 blocks, allocated and freed one by one."""
    start = time.perf_counter()
    taken = [allocator.allocate(1) for _ in range(100)]
    for one in taken:
        allocator.free(one)
    return time.perf_counter() - start


def cost_ratio(answer):
    """How many times as long 100 blocks take with LARGE blocks as with SMALL blocks.

    The work inside list.pop(0) or `in` cannot be counted from outside, so this is a ratio of times. Both sizes are
    measured in turn and the best of all rounds counts: a busy machine adds time to some rounds only, so it does not
    change the ratio. Where the two times are neither clearly equal nor clearly different, more rounds are run.
    """
    large, small = partly_used(answer, LARGE), partly_used(answer, SMALL)
    best_large = best_small = float("inf")
    for number in range(1, MOST_ROUNDS + 1):
        best_large = min(best_large, in_and_out(large))
        best_small = min(best_small, in_and_out(small))
        ratio = best_large / best_small
        if number >= LEAST_ROUNDS and not MOST / 2 < ratio < 3 * MOST:
            break
    return ratio


def costs_alike(answer):
    """Raises Counterexample where a block costs much more with LARGE blocks."""
    story = [
        "from course_lib.practice.play import allocation_cost",
        f"allocation_cost(BlockAllocator, {LARGE:_}) / allocation_cost(BlockAllocator, {SMALL:_})",
    ]
    trial = Trial(story, cost_ratio, limit_s=10.0)
    times, _ = trial.outcome(answer)
    if isinstance(times, Raised) or times > MOST:
        got = written(trial, times) if isinstance(times, Raised) else f"{times:.0f}"
        raise Counterexample(
            story, f"about 1, and at most {MOST}", got, "the time to allocate and free 100 blocks", outcome=SLOW
        )
    return f"about the same cost with {LARGE // SMALL} times as many blocks"
