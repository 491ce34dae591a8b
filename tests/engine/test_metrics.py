"""The metrics of requests and of an engine, against counts made independently from its outputs and its ledger."""

import numpy as np
import pytest
from small_engine import engine

from course_lib.decoding import SamplingParams
from course_lib.engine.memory_use import memory_use
from course_lib.engine.metrics import RequestMetrics
from course_lib.engine.summary import Targets, summarise
from course_lib.models import load_model


def request(arrival=1.0, times=(3.0, 4.0, 6.0), reason="length", **more):
    times = list(times)
    finished = times[-1] if times else arrival + 9
    return RequestMetrics(arrival, 5, 2.0, times, finished, finish_reason=reason, **more)


def test_latencies_are_those_of_vllm_bench_serve():
    r = request()
    assert (r.queue_time, r.ttft, r.e2e_latency, r.num_output_tokens) == (1.0, 2.0, 5.0, 3)
    assert r.inter_token_latencies == [1.0, 2.0]
    assert r.tpot == (r.e2e_latency - r.ttft) / (r.num_output_tokens - 1) == 1.5  # the first token is not in it
    assert request(times=[3.0]).tpot is None and request(times=()).ttft is None


def counted_run(**config):
    """An engine on a clock of its own, and what an independent count of its outputs and its ledger says."""
    now = [0.0]
    e = engine(parts=dict(clock=lambda: now[0]), **config)
    draw = np.random.default_rng(3)
    arrived, tokens, ended, metrics, use = {}, {}, {}, {}, []
    coming = [(float(at), [1, 2, 3, 4, *draw.integers(0, 29, n).tolist()]) for at, n in zip(range(12), [9, 3, 6] * 4)]
    while coming or e.has_unfinished():
        while coming and coming[0][0] <= now[0]:
            at, prompt = coming.pop(0)
            name = e.add_request(prompt, SamplingParams(max_tokens=3 + len(arrived) % 7, ignore_eos=True))
            arrived[name] = now[0], len(prompt)
        began = now[0]
        now[0] += float(draw.uniform(0.5, 2.0))
        for output in e.step():
            tokens.setdefault(output.request_id, []).extend([now[0]] * len(output.new_token_ids))
            metrics[output.request_id] = output.metrics
            if output.finished:
                ended[output.request_id] = now[0]
        use.append((began, e.allocator.num_blocks - e.allocator.num_free))
    return e, arrived, tokens, ended, metrics, use


def test_an_independent_count_of_the_outputs_gives_the_same_summary():
    e, arrived, tokens, ended, metrics, _ = counted_run(num_blocks=14)
    s = summarise(metrics.values(), duration=20.0)
    ttft = [tokens[i][0] - arrived[i][0] for i in arrived]
    tpot = [(ended[i] - tokens[i][0]) / (len(tokens[i]) - 1) for i in arrived]
    itl = np.concatenate([np.diff(tokens[i]) for i in arrived])
    e2el = [ended[i] - arrived[i][0] for i in arrived]
    for latency, values in ((s.ttft, ttft), (s.tpot, tpot), (s.itl, itl), (s.e2el, e2el)):
        assert latency.count == len(values)
        assert latency.mean == pytest.approx(np.mean(values)) and latency.std == pytest.approx(np.std(values))
        assert [latency.percentiles[p] for p in (50, 90, 95, 99)] == pytest.approx(
            list(np.percentile(values, [50, 90, 95, 99]))
        )
    num_tokens = sum(map(len, tokens.values()))
    assert (s.completed, s.failed) == (12, 0)
    assert s.total_output_tokens == num_tokens == e.metrics.num_generated_tokens
    assert s.total_input_tokens == sum(n for _, n in arrived.values()) == e.metrics.num_prompt_tokens
    assert s.output_throughput == num_tokens / 20 and s.request_throughput == 12 / 20
    assert s.total_token_throughput == (s.total_input_tokens + num_tokens) / 20
    assert s.num_preemptions == e.metrics.num_preemptions > 0
    assert s.num_cached_tokens == e.metrics.num_cached_prompt_tokens > 0
    assert s.prefix_hit_rate == e.metrics.prefix_hit_rate == s.num_cached_tokens / s.total_input_tokens


def test_peaks_are_counted_in_whole_seconds_from_the_first_arrival_as_in_vllm():
    requests = [request(0.5, [1.4, 1.45, 2.6]), request(1.0, [1.49, 3.4]), request(2.6, [3.45])]
    s = summarise(requests)
    assert s.max_output_tokens_per_s == 3 and s.duration == 3.45 - 0.5  # tokens at 0.9, 0.95 and 0.99 of second 0
    assert s.max_concurrent_requests == 3  # in second 2: until 2.6, until 3.4, and from 2.6


def test_goodput_counts_requests_that_meet_every_target():
    requests = [request(), request(times=[3.0, 9.0]), request(times=[8.0, 8.5]), request(times=[2.0], reason="abort")]
    s = summarise(requests, duration=10.0, targets=Targets(ttft=2.0, tpot=1.5))
    assert (s.completed, s.failed, s.num_good, s.request_goodput) == (3, 1, 1, 0.1)
    assert summarise(requests, duration=10.0).request_goodput is None
    one_token = summarise([request(times=[3.0])], targets=Targets(tpot=0.001))
    assert one_token.num_good == 1  # it has no TPOT, which counts as 0 as in vLLM


def test_kv_use_and_waste_are_means_over_the_steps():
    e = engine(num_blocks=10, prefix_caching=False)  # blocks of 4
    e.add_request([1, 2, 3, 4, 5], SamplingParams(max_tokens=5, ignore_eos=True))
    while e.has_unfinished():
        e.step()
    m = e.metrics  # tokens with a place in the five steps: 5, 6, 7, 8, 9, and 3 blocks in the last
    assert m.num_steps == 5 and m.kv_use == (2 * 4 + 3) / (5 * 10)
    assert m.kv_waste == (3 + 2 + 1 + 0 + 3) / (11 * 4)
    assert m.peak_kv_use == 0.2  # after a step: the last one has freed its blocks


def test_the_totals_of_memory_are_those_of_the_ledger():
    e, *_ = counted_run(num_blocks=14)
    m = e.metrics
    assert 0 < m.kv_waste < 0.75 and 0 < m.kv_use <= 1 and m.peak_kv_use <= 1
    assert engine().metrics.kv_use is None and engine().metrics.prefix_hit_rate is None


def test_memory_use_adds_up():
    model, _ = load_model("tale")
    from course_lib import Engine, EngineConfig

    e = Engine(model, EngineConfig(num_blocks=20, block_size=16))
    e.add_request(list(range(3, 43)), SamplingParams(max_tokens=9, ignore_eos=True))
    e.step()
    use = memory_use(e)
    block = use.kv_bytes // 20
    assert block == 2 * 4 * 2 * 64 * 4 * 16  # K and V, layers, KV heads, head size, float32, tokens
    assert use.used_kv_bytes == 3 * block and use.empty_kv_bytes == 8 * block // 16 and use.cached_kv_bytes == 0
    assert use.longest_sequence == 20 * 16 + 1
    assert use.weight_bytes == sum(w.numel() * 4 for w in model.parameters())
    e.add_request(list(range(3, 163)), SamplingParams(max_tokens=161, ignore_eos=True))  # 321 tokens do fit
    while e.has_unfinished():
        e.step()
    after = memory_use(e)
    assert (
        after.used_kv_bytes == 0 < after.cached_kv_bytes and after.peak_used_kv_bytes == e.metrics.peak_blocks * block
    )
    assert after.peak_bytes is None or after.peak_bytes > use.weight_bytes
