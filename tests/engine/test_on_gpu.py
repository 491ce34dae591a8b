"""The engine on a GPU, kernels compiled, in float32: the tokens that naive decoding gives on the CPU."""

import random
from dataclasses import replace
from functools import cache

import pytest
import torch

from course_lib import Engine, EngineConfig, SamplingParams, load_model
from course_lib.decoding import generate_naive

NO_GPU = (
    "no GPU here; the same kernels run interpreted in tests/attention, the same engine without them in test_engine_fuzz"
)


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(block_size=8, max_num_batched_tokens=24, num_blocks=60),
        dict(block_size=32, preemption="swap", num_blocks=16),
    ],
    ids=["usual", "chunks", "swap"],
)
def test_requests_on_a_gpu_get_the_tokens_of_naive_decoding_on_a_cpu(settings):
    on_cpu, tokenizer = load_model("tale", device="cpu", dtype=torch.float32)
    on_gpu, _ = load_model("tale", device="cuda", dtype=torch.float32)
    tale = tokenizer.encode("Once upon a time there lived in a quiet village a brave hare")
    prompts = [
        tale,
        tale[:5],
        tale + tale[3:9],
        *(tokenizer.encode(f"{word} upon") for word in ("Once", "Long", "Far", "In", "The", "A")),
    ]
    params = [SamplingParams(max_tokens=20 + 12 * i, ignore_eos=True) for i in range(len(prompts))]
    engine = Engine(on_gpu, EngineConfig(max_num_seqs=6, **settings))
    outputs = engine.generate(prompts, params)
    engine.check_integrity()
    for prompt, wanted, output in zip(prompts, params, outputs):
        assert output.token_ids == generate_naive(on_cpu, prompt, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
@pytest.mark.parametrize("preemption", ["recompute", "swap"])
@pytest.mark.parametrize("async_scheduling", [True, False])
def test_twenty_thousand_requests_of_all_kinds_get_the_tokens_that_they_get_alone(preemption, async_scheduling):
    """In float32, with graphs and fused kernels, aborts, forks, filters and memory that is short; and no memory is
    lost.
    """
    from test_transformer_fuzz import small

    wanted, draw = 20_000, random.Random(async_scheduling)
    model, alone = (small(num_heads=3, num_kv_heads=1, qk_norm=True).to(device) for device in ("cuda", "cpu"))
    kinds = [
        {},
        dict(temperature=1.0),
        dict(temperature=0.7, top_p=0.8),
        dict(temperature=1.0, top_k=3),
        dict(min_p=0.3, temperature=1.0),
    ]
    prompts = [[draw.randrange(31) for _ in range(draw.randrange(1, 9))] for _ in range(40)]
    kept = [
        (
            draw.choice(prompts),
            SamplingParams(max_tokens=draw.choice([1, 3, 14]), seed=draw.randrange(9), n=n, **draw.choice(kinds)),
        )
        for n in (1, 1, 1, 1, 2) * 100
    ]

    @cache
    def expected(number, index):
        prompt, p = kept[number]
        return generate_naive(alone, prompt, replace(p, n=1, seed=p.seed + index))

    config = EngineConfig(
        block_size=4, num_blocks=50, max_num_seqs=24, max_num_batched_tokens=96, watermark=0.0, preemption=preemption,
        async_scheduling=async_scheduling,
    )  # fmt: skip
    engine = Engine(model, config, trace=False)
    assert type(engine.runner).__name__ == "GPURunner"
    alive, added, ended, memory = {}, 0, 0, []
    while added < wanted or engine.has_unfinished():
        while added < wanted and len(alive) < 40:
            number = draw.randrange(len(kept))
            alive[engine.add_request(*kept[number])] = number
            added += 1
        if draw.random() < 0.05:
            engine.abort(draw.choice(list(alive)))
        for output in engine.step():
            if output.finished and output.finish_reason != "abort":
                assert output.token_ids == expected(alive[output.request_id], output.index), output
            ended += output.finished
        alive = {i: number for i, number in alive.items() if i in engine.live.requests}
        if engine.metrics.num_steps % 100 == 0:
            engine.check_integrity()
        if added in (wanted // 4, wanted) and len(memory) < 2 and (not memory or added == wanted):
            memory.append(torch.cuda.memory_allocated())
    assert engine.allocator.num_free == 50 and not engine.runner.saved and ended >= wanted
    assert engine.metrics.num_preemptions > 200 and engine.metrics.num_cached_tokens > 1000
    assert memory[-1] <= memory[0] + 2**16


@pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
def test_the_number_of_blocks_leaves_room_for_the_largest_step():
    from course_lib.engine import memory

    model, _ = load_model("tale", device="cuda", dtype=torch.float32)
    config = EngineConfig(max_num_seqs=64, max_num_batched_tokens=8192, gpu_memory_utilization=0.1)
    needed = memory.bytes_of_largest_step(model, config)
    logits = 64 * model.config.vocab_size * 4
    assert needed > 2 * logits and needed > 8192 * model.config.hidden_size * 4
    assert memory.default_num_blocks(model, config) > 0
