"""Models with sliding windows: every cache, the fused model and an engine give what Recompute gives."""

import pytest
import torch

from course_lib.attention.reference import twins as attention_twins
from course_lib.decoding import SamplingParams, generate_cached, generate_naive
from course_lib.engine import Engine, EngineConfig
from course_lib.errors import ParameterError
from course_lib.kvcache import ContiguousCache, KVPool, PagedCache, Recompute
from course_lib.kvcache.block_table import BlockTable
from course_lib.kvcache.contiguous import ContiguousBatch
from course_lib.models import ModelConfig, Transformer
from course_lib.models.fused import FusedTransformer
from course_lib.models.kernels import twins

WINDOWS = [(5, 5, 5), (None, 3, 8), (1, None, 64)]
TOKENS = 41


def random_model(windows, context=64):
    torch.manual_seed(2)
    shape = dict(vocab_size=37, hidden_size=24, intermediate_size=20, num_layers=3, num_heads=4, num_kv_heads=2)
    model = Transformer(ModelConfig(**shape, head_dim=6, context=context, windows=windows)).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        weight.normal_(std=1.5 if "norm" in name else 0.5)
    return model


@pytest.fixture(params=WINDOWS, ids=str)
def model(request):
    return random_model(request.param)


def expected(model, ids):
    """Logits of the whole sequence: attention by a mask over all pairs, written out."""

    class Masked:
        def attend(self, layer, q, k, v, window=None):
            at = torch.arange(len(q))
            distance = at[:, None] - at
            seen = (distance >= 0) & (distance < (window or len(q)))
            k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
            scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[2] ** 0.5
            return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(-1), v)

    return model(ids, torch.arange(len(ids)), Masked())


IDS = torch.arange(TOKENS) * 5 % 37
SPLITS = [[TOKENS], [1] * TOKENS, [7, 1, 1, 10, 22], [20, 1, 1, 1, 18]]


@pytest.mark.parametrize("kind", ["contiguous", "paged", "batch"])
@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_a_cache_gives_the_logits_of_the_whole_sequence(model, kind, split):
    want = expected(model, IDS)
    assert torch.allclose(model(IDS, torch.arange(TOKENS), Recompute()), want, atol=2e-4)
    if kind == "paged":
        cache = PagedCache(KVPool(model.config, 20, 3, "cpu", torch.float32))
    elif kind == "batch":
        cache = ContiguousBatch(model.config, 3, TOKENS, device="cpu", dtype=torch.float32)
    else:
        cache = ContiguousCache(model.config, TOKENS, device="cpu", dtype=torch.float32)
    start, rows = 0, []
    for count in split:
        if kind == "batch":
            cache.begin_step([1], [count])
        rows.append(model(IDS[start : start + count], torch.arange(start, start + count), cache))
        start += count
    assert torch.allclose(torch.cat(rows), want, atol=2e-4)


@pytest.mark.parametrize("kind", ["plain", "fused"])
def test_many_sequences_at_once(model, kind):
    """Grouped decodes, prefill beside decodes; and the fused model, which calls paged_decode and paged_attention."""
    run, lengths = FusedTransformer(model, twins) if kind == "fused" else model, [30, 31, 9, 1]
    cache = PagedCache(KVPool(model.config, 60, 3, "cpu", torch.float32))
    tables = [BlockTable(cache.allocator) for _ in lengths]
    want = [expected(model, (IDS + i) % 37) for i in range(len(lengths))]
    done = [0] * len(lengths)
    for counts in (lengths, [1, 1, 1, 1], [1, 1, 4, 1], [1, 1, 1, 1]):
        for table, n in zip(tables, counts):
            table.append_slots(n)
        positions = cache.begin_step(tables, counts)
        ids = torch.cat([(IDS[at : at + n] + i) % 37 for i, (at, n) in enumerate(zip(done, counts))])
        out = run(ids, positions, cache)
        done = [at + n for at, n in zip(done, counts)]
        for i, part in enumerate(out.split(counts)):
            assert torch.allclose(part, want[i][done[i] - counts[i] : done[i]], atol=2e-4)


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_an_engine_writes_what_generate_naive_writes(model, preemption):
    prompts = [[(5 * i + j) % 37 for j in range(n)] for i, n in enumerate([22, 3, 17, 9])]
    params = SamplingParams(max_tokens=20)
    want = [generate_naive(model, p, params) for p in prompts]
    assert [generate_cached(model, p, params) for p in prompts] == want
    how = dict(block_size=3, max_num_batched_tokens=16, preemption=preemption)
    engine = Engine(model, EngineConfig(num_blocks=24, **how))
    assert [o.token_ids for o in engine.generate(prompts, params)] == want
    if None in model.config.windows:
        assert engine.metrics.num_preemptions > 0
    else:  # blocks that no layer sees any more are given back, so there is room for all
        assert engine.metrics.num_preemptions == 0 and engine.metrics.peak_blocks <= 4 * (5 // 3 + 2)
    engine = Engine(model, EngineConfig(num_blocks=60, **how), attention=attention_twins.paged_attention)
    assert [o.token_ids for o in engine.generate(prompts, params)] == want


def test_a_cache_that_knows_no_window_serves_within_it_and_is_refused_beyond():
    model = random_model((None, 9, 12))

    class Old(Recompute):
        def attend(self, layer, q, k, v):
            return super().attend(layer, q, k, v)

    at = torch.arange(9)
    assert torch.equal(model(IDS[:9], at, Old()), model(IDS[:9], at, Recompute()))
    with pytest.raises(ParameterError, match=r"last 9 tokens.*position 9.*Old.attend takes no window.*window=None"):
        model(IDS[:10], torch.arange(10), Old())


def test_an_attention_function_that_takes_no_window_is_refused():
    def attention(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
        return q

    engine = Engine(random_model((5, 5, 5)), EngineConfig(num_blocks=24), attention=attention)
    with pytest.raises(ParameterError, match="window of 5 tokens.*attention takes none.*window=None"):
        engine.generate([[1, 2, 3]], SamplingParams(max_tokens=4))
