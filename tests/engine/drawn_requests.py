"""Requests of random lengths, a third of them sampled and one with two sequences, served and held to naive decoding."""

import random
from dataclasses import replace

from course_lib.decoding import SamplingParams, generate_naive


def serve_and_check(engine, model, count, max_tokens):
    """Serves `count` requests; every sequence has to get what generate_naive gives, and the ledger to hold after each
    step. max_tokens: from which they draw. Returns the number of sequences.
    """
    draw, wanted, outputs = random.Random(0), {}, {}
    for i in range(count):
        prompt = [draw.randrange(11) for _ in range(draw.choice([1, 2, 9, 30]))]
        kind = dict(temperature=0.8, top_k=5) if i % 3 == 2 else {}
        params = SamplingParams(max_tokens=draw.choice(max_tokens), seed=i, ignore_eos=True, n=1 + (i == 7), **kind)
        wanted[engine.add_request(prompt, params)] = prompt, params
    while engine.has_unfinished():
        for output in engine.step():
            outputs[output.request_id, output.index] = output.token_ids
        engine.check_integrity()
    for (name, index), found in outputs.items():
        prompt, params = wanted[name]
        assert found == generate_naive(model, prompt, replace(params, n=1, seed=params.seed + index))
    return len(outputs)
