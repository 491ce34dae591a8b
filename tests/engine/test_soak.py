"""A long life: 10,000 requests through one engine, with aborts, forks and preemptions, and nothing left of them at
the end.
"""

import gc
import random
import sys

import pytest
import torch
from summing import VOCABULARY, Summing, oracle

from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig


def bytes_in_containers():
    """Of all lists, dictionaries, deques, ... that this process keeps: what grows where something is never
    forgotten.
    """
    oracle.__globals__["_remembered"].cache_clear()
    gc.collect()
    return sum(map(sys.getsizeof, gc.get_objects()))


@pytest.mark.parametrize("policy, preemption, wanted", [("fcfs", "swap", 10_000), ("fair", "recompute", 2_000)])
def test_thousands_of_requests_leave_nothing_behind(policy, preemption, wanted):
    torch.set_num_threads(1)
    model, draw = Summing(), random.Random(0)
    e = Engine(
        model,
        EngineConfig(
            block_size=4,
            num_blocks=48,
            max_num_seqs=24,
            max_num_batched_tokens=96,
            policy=policy,
            preemption=preemption,
            watermark=0.0,
        ),
        trace=False,
    )
    added, ended, checked, alive, sizes = 0, 0, 0, {}, []
    while added < wanted or e.has_unfinished():
        while added < wanted and len(alive) < 40:
            prompt = [3, 1, 4, 1, 5, 9][: draw.randrange(7)] + [
                draw.randrange(VOCABULARY) for _ in range(draw.randrange(1, 4))
            ]
            params = SamplingParams(max_tokens=draw.choice([1, 2, 3, 12]), n=1 + (draw.random() < 0.1))
            alive[e.add_request(prompt, params, client=str(added % 5))] = prompt, params
            added += 1
        if draw.random() < 0.1:
            e.abort(draw.choice(list(alive)))  # its last outputs come with this step
        for output in e.step():
            if output.finished:
                ended += 1
                if output.finish_reason != "abort" and ended % 40 == 0:
                    prompt, params = alive[output.request_id]
                    assert output.token_ids == oracle(model, prompt, params, output.index)
                    checked += 1
        alive = {request_id: what for request_id, what in alive.items() if request_id in e.live.requests}
        if e.metrics.num_steps % 50 == 0:
            e.check_integrity()
        if not sizes and added >= wanted // 5 or len(sizes) == 1 and added == wanted:
            sizes.append(bytes_in_containers())
    e.check_integrity()
    assert (
        e.allocator.num_free == 48
        and not e.runner.saved
        and not e.live.requests
        and not e.live.sequences
        and not len(e.scheduler.waiting)
    )
    assert (
        checked > wanted / 100
        and ended >= wanted
        and e.metrics.num_preemptions > wanted / 50
        and e.metrics.num_cached_tokens > wanted
    )
    assert sizes[1] < sizes[0] + 200_000, (
        f"{sizes[1] - sizes[0]:,} bytes more after {wanted - wanted // 5} requests more"
    )
