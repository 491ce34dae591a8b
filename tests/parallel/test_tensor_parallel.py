"""Engines over two processes write what one process writes. The processes are started once, and ended at the end."""

import os
import random
import signal
import time
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from random_models import model
from safetensors.torch import save_file
from scenarios import days, live
from summing import VOCABULARY

from course_lib.decoding import SamplingParams, generate_naive
from course_lib.engine import Engine, EngineConfig
from course_lib.errors import ParallelError, ParameterError
from course_lib.parallel import FolderWeights, Ranks, load_sharded

EACH = 15
FEW = SamplingParams(max_tokens=6)
WHOLE = model(num_heads=6, num_kv_heads=2, qk_norm=True, vocab_size=VOCABULARY, context=96)


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_file({name: weight.contiguous() for name, weight in WHOLE.named_parameters()}, folder / "model.safetensors")
    part, _ = load_sharded(FolderWeights(folder, WHOLE.config), 2, device="cpu", dtype=torch.float32)
    yield part
    part.ranks.close()
    assert all(process.poll() is not None for process in part.ranks.processes.values())


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_two_ranks_write_in_a_crowd_what_one_process_writes_alone(part, preemption):
    seen = Counter()

    @seed(7)
    @settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, max_examples=EACH)
    @given(day=days(preemption=preemption, tensor_parallel=2))
    def lived(day):
        live(WHOLE, *day, seen=seen, served=part)

    lived()
    assert seen["scenarios"] >= EACH and seen["preemptions"] > 5 and seen["cached tokens"] > 20
    assert seen["texts forked"] > 5 and seen["swapped tokens" if preemption == "swap" else "recomputed tokens"] > 20


def test_two_engines_of_one_model_and_all_the_same_outputs_as_one_process(part):
    draw = random.Random(1)
    prompts = [[draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 40))] for _ in range(9)]
    params = [
        SamplingParams(temperature=i % 2, seed=i, n=1 + i % 3, top_p=0.9 if i % 4 == 3 else 1.0, max_tokens=20)
        for i in range(9)
    ]
    params[2:4] = [replace(one, logprobs=2, presence_penalty=0.7) for one in params[2:4]]
    config = EngineConfig(
        block_size=4, num_blocks=64, max_num_batched_tokens=24, seed=5, kv_dtype="int8", k_scales="channel"
    )
    for settings_ in (config, replace(config, kv_dtype="auto", k_scales="token", window=8, sinks=2)):
        one = Engine(WHOLE, settings_).generate(prompts, params)
        engines = [Engine(part, replace(settings_, tensor_parallel=2)) for _ in range(2)]
        ids = engines[0].add_request(prompts[0], params[0])
        engines[0].step()
        two = engines[1].generate(prompts, params)
        assert [o.token_ids for o in two] == [o.token_ids for o in one]
        for one_output, two_output in zip(one, two):
            pairs = list(zip(one_output.logprobs or (), two_output.logprobs or (), strict=True))
            assert bool(pairs) == (one_output.logprobs is not None)
            for of_one, of_two in pairs:
                assert {*of_one} == {*of_two}
                assert all(abs(of_one[i].logprob - of_two[i].logprob) < 1e-4 for i in of_one)
        while engines[0].has_unfinished():
            last = engines[0].step()
        assert last[0].request_id == ids and last[0].token_ids == one[0].token_ids
        for engine in engines:
            engine.check_integrity()
            engine.close()


def test_no_rank_holds_the_whole(part):
    mine = sum(weight.nbytes for weight in part.parameters())
    engine = Engine(part, EngineConfig(num_blocks=8, tensor_parallel=2))
    assert mine < 0.55 * sum(weight.nbytes for weight in WHOLE.parameters())
    assert engine.pool.num_bytes * 2 == Engine(WHOLE, EngineConfig(num_blocks=8)).pool.num_bytes
    engine.close()
    with pytest.raises(ParallelError, match="was closed"):
        engine.generate([[1]], FEW)
    assert Engine(part, EngineConfig(tensor_parallel=2, max_num_seqs=3)).allocator.num_blocks == 18  # 3 of 96 tokens


def test_what_cannot_be_is_refused_and_the_processes_go_on(part):
    both = EngineConfig(num_blocks=8, tensor_parallel=2)
    with pytest.raises(ParameterError, match="loaded in 2 processes"):
        Engine(part, EngineConfig(num_blocks=8))
    with pytest.raises(ParameterError, match="loaded in 1 process.*Pass the name"):
        Engine(WHOLE, both)
    with pytest.raises(ParameterError, match="attention= came with tensor_parallel"):
        Engine("tale", both, attention=lambda *args: None)  # before it starts processes
    with pytest.raises(ParameterError, match="speculation came with tensor_parallel"):
        replace(both, speculation="ngram")
    with pytest.raises(ParameterError, match="part of a group of processes already.*engine.close"):
        load_sharded("tale", 2, device="cpu")
    with pytest.raises(ParameterError, match="device is 'mps'"):
        Ranks(2, "mps")
    if torch.cuda.device_count() < 2:
        with pytest.raises(ParameterError, match="tensor_parallel=2 needs 2 GPUs"):
            Ranks(2, "cuda")
    with pytest.raises(ParameterError, match="tensor_parallel is 1.5"):
        EngineConfig(tensor_parallel=1.5)
    with pytest.raises(ParallelError, match="part of rank 0 of 2"):
        generate_naive(part, [1, 2], FEW)
    assert Engine(part, both).generate([[1, 2]], FEW)[0].token_ids == generate_naive(WHOLE, [1, 2], FEW)


def test_an_interrupt_comes_after_the_step_and_the_engine_goes_on(part):
    engine = Engine(part, EngineConfig(num_blocks=32, tensor_parallel=2))
    engine.add_request([1, 2, 3], FEW)
    run = engine.runner.runner.run

    def interrupted(step):
        os.kill(os.getpid(), signal.SIGINT)
        return run(step)

    engine.runner.runner.run = interrupted
    with pytest.raises(KeyboardInterrupt):
        engine.step()
    engine.runner.runner.run = run
    while engine.has_unfinished():
        last = engine.step()
    assert last[0].token_ids == generate_naive(WHOLE, [1, 2, 3], FEW)


def test_an_error_of_a_step_is_the_same_on_all_ranks_and_the_engine_goes_on(part):
    engine, norm = Engine(part, EngineConfig(num_blocks=32, tensor_parallel=2)), part.model.norm.weight
    kept = norm.clone()
    norm.fill_(torch.nan)
    with pytest.raises(ParameterError, match="NaN"):
        engine.generate([[1, 2, 3]], FEW)
    norm.copy_(kept)
    assert engine.generate([[1, 2, 3]], FEW)[0].token_ids == generate_naive(WHOLE, [1, 2, 3], FEW)


def test_a_rank_that_is_killed_ends_the_engine_and_names_itself(part):  # the last: the processes are gone afterwards
    engine, process = Engine(part, EngineConfig(num_blocks=32, tensor_parallel=2)), part.ranks.processes[1]
    engine.add_request([1, 2, 3], SamplingParams(max_tokens=60, ignore_eos=True))
    for _ in range(3):
        engine.step()
    os.kill(process.pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(
        ParallelError,
        match=rf"Rank 1 of 2 \(process {process.pid}\) was ended by the signal SIGKILL.*Make a new engine",
    ):
        while engine.has_unfinished():
            engine.step()
    assert process.poll() == -signal.SIGKILL and not torch.distributed.is_initialized()
    with pytest.raises(ParallelError, match="Rank 1 of 2"):
        engine.step()
    with pytest.raises(ParallelError, match="Rank 1 of 2"):
        Engine(part, EngineConfig(num_blocks=32, tensor_parallel=2))
    engine.close()
    assert time.monotonic() - began < 120  # an end at all: gloo alone would wait for minutes
