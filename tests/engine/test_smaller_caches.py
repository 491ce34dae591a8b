"""Quantised caches, windows and sinks in an engine: the tokens of a model alone whose K and V go through the same
quantiser, and whose attention has the same mask.
"""

from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from random_models import model as random_model
from scenarios import days, live
from summing import VOCABULARY, Summing

from course_lib.attention.reference.quantise import LARGEST
from course_lib.decoding import SamplingParams, generate_cached
from course_lib.engine import Engine, EngineConfig
from course_lib.engine.speculation import DraftModel, NGram
from course_lib.errors import ParameterError
from course_lib.kvcache import PagedCache, Recompute
from course_lib.kvcache.block_table import BlockTable
from course_lib.kvcache.channels import k_channels
from course_lib.kvcache.quantised_pool import make_pool
from course_lib.models.fused import FusedTransformer
from course_lib.models.kernels import twins

PARAMS = SamplingParams(max_tokens=24)


def through(x, kind):
    """x [..., head_dim] as it comes back from a cache, written from the definition, one row at a time."""
    rows = x.float().reshape(-1, x.shape[-1])
    out = torch.empty_like(rows)
    for i, row in enumerate(rows):
        scale = row.abs().max() / LARGEST[kind]
        whole = row / scale if scale > 0 else row * 0
        whole = whole.to(torch.float8_e4m3fn).float() if kind == "fp8" else whole.round()
        out[i] = whole * scale
    return out.reshape(x.shape).to(x.dtype)


class Alone:
    """A cache for one sequence: each new key and value goes through the quantiser, and the mask is written out."""

    def __init__(self, kind=None, channels=None, window=None, sinks=0):
        self.kind, self.channels, self.window, self.sinks, self.kept = kind, channels, window, sinks, {}

    def attend(self, layer, q, k, v, window=None):
        if self.kind:
            by = 1 if self.channels is None else self.channels[layer].to(k.dtype)
            k, v = through(k / by, self.kind) * by, through(v, self.kind)
        if layer in self.kept:
            k, v = torch.cat([self.kept[layer][0], k]), torch.cat([self.kept[layer][1], v])
        self.kept[layer] = k, v
        at = torch.arange(len(k))
        rows = at[len(k) - len(q) :, None]
        narrow = self.window is not None and (window is None or self.window < window)
        width, sinks = (self.window, self.sinks) if narrow else (window or len(k), 0)
        seen = (rows >= at) & ((rows - at < width) | (at < sinks))
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[2] ** 0.5
        return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(-1), v)


def double(**more):
    """In float64 no rounding of a sum is large enough to move a number across the border between two steps."""
    return random_model(context=128, **more).double()


PROMPTS = [[(7 * i + 5 * j + j * j) % 23 for j in range(n)] for i, n in enumerate([33, 3, 18, 9, 1])]
PROMPTS.append(PROMPTS[0][:20] + [1, 2])
LIVES = [
    dict(num_blocks=120),
    dict(num_blocks=120, max_num_batched_tokens=7, async_scheduling=True),
    dict(num_blocks=22, preemption="swap"),
    dict(num_blocks=22, preemption="recompute", prefix_caching=False),
]


def engine(model, **config):
    return Engine(model, EngineConfig(**{"block_size": 4, "max_num_batched_tokens": 24, **config}))


@pytest.mark.parametrize("life", LIVES, ids=lambda life: "-".join(map(str, life.values())))
@pytest.mark.parametrize("kind", LARGEST)
def test_an_engine_writes_what_the_model_alone_writes_through_the_same_quantiser(kind, life):
    model = double()
    want = [generate_cached(model, p, PARAMS, cache=Alone(kind)) for p in PROMPTS]
    assert want != [generate_cached(model, p, PARAMS, cache=Alone()) for p in PROMPTS] or kind != "int4"
    e = engine(model, kv_dtype=kind, **life)
    for _ in range(2):  # the second time from the prefix cache
        assert [o.token_ids for o in e.generate(PROMPTS, PARAMS)] == want
        e.check_integrity()
    assert bool(e.metrics.num_preemptions) == (life["num_blocks"] == 22)
    assert e.metrics.num_cached_tokens > 0 or not life.get("prefix_caching", True)


def test_keys_divided_by_channels():
    model = double()
    for layer in model.model.layers:
        layer.self_attn.k_proj.weight[3::6] *= 12  # one channel of each head is large
    channels = k_channels(model)
    want = [generate_cached(model, p, PARAMS, cache=Alone("int4", channels)) for p in PROMPTS]
    for life in LIVES:
        e = engine(model, kv_dtype="int4", k_scales="channel", **life)
        assert [o.token_ids for o in e.generate(PROMPTS, PARAMS)] == want
    assert want != [generate_cached(model, p, PARAMS, cache=Alone("int4")) for p in PROMPTS]


def test_sequences_of_one_prompt_share_quantised_blocks_and_copy_them_before_writing():
    model = double()
    params = SamplingParams(max_tokens=12, n=3, temperature=1.0, seed=5)
    e = engine(model, kv_dtype="int8", num_blocks=60)
    got = [o.token_ids for o in e.generate([PROMPTS[0]], params)]
    one = [SamplingParams(max_tokens=12, temperature=1.0, seed=5 + i) for i in range(3)]
    assert got == [generate_cached(model, PROMPTS[0], p, cache=Alone("int8")) for p in one]
    assert any(row[1] == "copy" for row in e.trace.rows())


@pytest.mark.parametrize("kv_dtype", ["bfloat16", "float16", "float32"])
def test_keys_and_values_in_another_floating_dtype(kv_dtype):
    model, dtype = double(), getattr(torch, kv_dtype)

    class Narrow(Alone):
        def attend(self, layer, q, k, v, window=None):
            return super().attend(layer, q, k.to(dtype).double(), v.to(dtype).double(), window)

    want = [generate_cached(model, p, PARAMS, cache=Narrow()) for p in PROMPTS]
    e = engine(model, kv_dtype=kv_dtype, num_blocks=40)
    assert [o.token_ids for o in e.generate(PROMPTS, PARAMS)] == want and e.pool.k.dtype == dtype


@pytest.mark.parametrize("kv_dtype, channel", [("int8", False), ("fp8", False), ("int4", False), ("int4", True)])
def test_the_fused_model_writes_what_the_plain_one_writes(kv_dtype, channel):
    model = random_model(context=128)
    how = dict(kv_dtype=kv_dtype, k_channels=k_channels(model) if channel else None)
    pools = [make_pool(model.config, 30, 4, "cpu", torch.float32, **how) for _ in range(2)]
    ids, logits = torch.tensor(PROMPTS[0]), []
    for run, pool in zip((model, FusedTransformer(model, twins)), pools):
        cache = PagedCache(pool, window=20, sinks=2)
        table, rows = BlockTable(cache.allocator), []
        for start, end in ((0, 21), (21, 22), (22, 33)):
            table.append_slots(end - start)
            rows.append(run(ids[start:end], cache.begin_step([table], [end - start]), cache))
        logits.append(torch.cat(rows))
    assert torch.allclose(*logits, atol=0.05 * logits[0].abs().max())
    for mine, its in zip(*(pool.by_token for pool in pools)):
        assert (mine.float() - its.float()).abs().float().mean() < 0.05 * mine.float().abs().mean()


# --- window and sinks ---

WINDOWS = [(6, 0), (6, 3), (1, 0), (1, 1), (13, 5), (40, 9), (500, 4)]


@pytest.mark.parametrize("life", LIVES, ids=lambda life: "-".join(map(str, life.values())))
@pytest.mark.parametrize("window, sinks", WINDOWS)
def test_an_engine_with_a_window_writes_what_a_masked_model_writes(window, sinks, life):
    model = double()
    want = [generate_cached(model, p, PARAMS, cache=Alone(None, None, window, sinks)) for p in PROMPTS]
    e = engine(model, window=window, sinks=sinks, **life)
    for _ in range(2):
        assert [o.token_ids for o in e.generate(PROMPTS, PARAMS)] == want
        e.check_integrity()
    assert e.allocator.num_free == e.allocator.num_blocks


@pytest.mark.parametrize("windows", [(5, 5), (3, 9), (None, 4)])
@pytest.mark.parametrize("window, sinks", [(None, 0), (6, 2), (30, 3)])
def test_layers_with_windows_of_their_own(windows, window, sinks):
    model = double(windows=windows)
    want = [generate_cached(model, p, PARAMS, cache=Alone(None, None, window, sinks)) for p in PROMPTS]
    e = engine(model, window=window, sinks=sinks, num_blocks=50, max_num_batched_tokens=9)
    assert [o.token_ids for o in e.generate(PROMPTS, PARAMS)] == want
    slid = [row for row in e.trace.rows() if row[1] == "slide"]
    assert bool(slid) == (window is not None or None not in windows)


def test_a_request_longer_than_the_memory_is_served_within_its_window():
    model = double()
    want = generate_cached(model, PROMPTS[0], SamplingParams(max_tokens=90), cache=Alone(None, None, 10, 4))
    e = engine(model, window=10, sinks=4, num_blocks=9, max_num_batched_tokens=4, watermark=0.0)
    (output,) = e.generate([PROMPTS[0]], SamplingParams(max_tokens=90))
    assert output.token_ids == want and e.metrics.peak_blocks <= 6  # of the 31 that all 122 tokens take
    with pytest.raises(ParameterError, match="need 31 blocks of 4 tokens, and there are 9"):
        engine(model, num_blocks=9).add_request(PROMPTS[0], SamplingParams(max_tokens=90))


def test_quantised_and_windowed_at_once():
    model = double()
    want = [generate_cached(model, p, PARAMS, cache=Alone("int8", None, 11, 2)) for p in PROMPTS]
    e = engine(model, window=11, sinks=2, kv_dtype="int8", num_blocks=24, preemption="swap", max_num_batched_tokens=10)
    assert [o.token_ids for o in e.generate(PROMPTS, PARAMS)] == want


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_drawn_days_with_a_quantised_cache(preemption):
    """The model whose sums are exact: its tokens are those of generate_naive, through int8 too."""
    seen, exact = Counter(), Summing()

    @seed(preemption == "swap")
    @settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, max_examples=40)
    @given(day=days(preemption=preemption, kv_dtype="int8"))
    def lived(day):
        live(exact, *day, seen=seen)

    lived()
    assert seen["scenarios"] >= 40 and seen["preemptions"] > 5


@pytest.mark.parametrize("how", ["ngram", "draft"])
@pytest.mark.parametrize("kind, window, sinks", [("int8", None, 0), (None, 7, 2), ("fp8", 12, 0)])
def test_guesses_that_are_taken_back(how, kind, window, sinks):
    """Speculation writes tokens that are rejected: into quantised slots, and at the end of a window."""
    model = double()
    want = [generate_cached(model, p, PARAMS, cache=Alone(kind, None, window, sinks)) for p in PROMPTS]
    guess = NGram(3) if how == "ngram" else DraftModel(3, model=double(seed=1))
    e = engine(model, kv_dtype=kind or "auto", window=window, sinks=sinks, speculation=guess, num_blocks=60)
    assert [o.token_ids for o in e.generate(PROMPTS, PARAMS)] == want
    e.check_integrity()


class SummingSeen(Summing):
    """As Summing, over what a window and sinks let a token see. With Recompute the mask is its own."""

    def __init__(self, window, sinks):
        super().__init__()
        self.window, self.sinks = window, sinks

    def __call__(self, token_ids, positions, cache, logits_for=None):
        v = (token_ids * (positions * 7 % 13 + 1) + 1).float()[:, None, None].expand(-1, 1, 2).contiguous()
        if isinstance(cache, Recompute):
            cache = Alone(None, None, self.window, self.sinks)
        mean = cache.attend(0, torch.zeros_like(v), v, v)[:, 0, 0]
        beyond = (positions + 1 - self.window).clamp(min=0)
        count = positions + 1 - beyond + beyond.clamp(max=self.sinks)
        sums = (mean * count).round().long()
        logits = torch.nn.functional.one_hot(sums % VOCABULARY, VOCABULARY).float() * 3
        return logits if logits_for is None else logits[logits_for]


SEEN = {(window, sinks): SummingSeen(window, sinks) for window in (1, 2, 5, 9, 14) for sinks in (0, 1, 4, 7)}


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_drawn_days_with_a_window(preemption):
    """What is free is overwritten after each step, so nobody can live on a block that fell out of a window."""
    happened = Counter()

    @seed(preemption == "swap")
    @settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, max_examples=60)
    @given(data=st.data())
    def lived(data):
        window, sinks = seen = data.draw(st.sampled_from(list(SEEN)))
        live(SEEN[seen], *data.draw(days(preemption=preemption, window=window, sinks=sinks)), seen=happened)

    lived()
    assert happened["scenarios"] >= 60 and happened["preemptions"] > 5 and happened["cached tokens"] > 5


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(kv_dtype="int2"), "kv_dtype is 'int2'; it can be 'auto' or"),
        (dict(k_scales="row"), "k_scales is 'row'"),
        (dict(k_scales="channel"), "which has no scales"),
        (dict(window=0), "window is 0"),
        (dict(sinks=4), "only with a window"),
        (dict(window=4, sinks=-1), "0 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, words):
    with pytest.raises(ParameterError, match=words):
        EngineConfig(**wrong)
