"""count_work and record_cache: against formulas written by hand, and against caches with a known fault."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from course_lib.decoding import SamplingParams, count_work, generate_cached, generate_naive, record_cache
from course_lib.decoding.filling import KeysSeen
from course_lib.decoding.work import ATTENTION_FLOPS
from course_lib.errors import ParameterError
from course_lib.kvcache import ContiguousBatch, ContiguousCache, Recompute
from course_lib.models import ModelConfig, Transformer
from course_lib.viz import cache_filling

GROUPED = ModelConfig(
    vocab_size=50, hidden_size=24, intermediate_size=40, num_layers=3, num_heads=6, num_kv_heads=2, head_dim=8
)
EACH = ModelConfig(
    vocab_size=31,
    hidden_size=16,
    intermediate_size=20,
    num_layers=2,
    num_heads=4,
    num_kv_heads=4,
    head_dim=4,
    tie_embeddings=True,
)
PROMPT = [3, 1, 4, 1, 5, 9, 2]
SIX = SamplingParams(max_tokens=6, ignore_eos=True)


def make_model(config, dtype=torch.float32):
    torch.manual_seed(0)
    return Transformer(config).eval().requires_grad_(False).to(dtype)


def flops(c, computed, held):
    """Two for each weight of each matrix and token, with the vocabulary for one row; four for each query, key and
    element of a head."""
    attention = c.hidden_size * c.head_dim * (2 * c.num_heads + 2 * c.num_kv_heads)
    feed_forward = 3 * c.hidden_size * c.intermediate_size
    return (
        2 * computed * c.num_layers * (attention + feed_forward)
        + 2 * c.vocab_size * c.hidden_size
        + 4 * computed * held * c.num_layers * c.num_heads * c.head_dim
    )


@pytest.mark.parametrize("config", [GROUPED, EACH], ids=["grouped", "each its own"])
def test_operations_are_those_of_the_formula(config):
    model = make_model(config)
    with count_work(model) as work:
        generate_cached(model, PROMPT, SIX)
    assert [run.tokens for run in work.runs] == [7, 1, 1, 1, 1, 1]
    assert [run.flops for run in work.runs] == [flops(config, 7, 7)] + [flops(config, 1, n) for n in range(8, 13)]
    with count_work(model) as work:
        generate_naive(model, PROMPT, SIX)
    assert [run.flops for run in work.runs] == [flops(config, n, n) for n in range(7, 13)]
    assert work.tokens == sum(range(7, 13)) and work.flops == sum(flops(config, n, n) for n in range(7, 13))


def test_operations_of_a_cache_that_multiplies_by_hand_are_the_same():
    class ByHand(ContiguousCache):
        def attend(self, layer, q, k, v):
            start, end = self.num_tokens, self.num_tokens + len(k)
            super().attend(layer, q, k, v)
            keys, values = (x[layer, :, :end].repeat_interleave(3, 0) for x in (self.k, self.v))
            seen = torch.ones(len(q), end, dtype=torch.bool).tril(start)
            return (
                (q.transpose(0, 1) @ keys.mT / 8**0.5).masked_fill(~seen, -torch.inf).softmax(-1) @ values
            ).transpose(0, 1)

    model = make_model(GROUPED)
    kept = ByHand(GROUPED, 12, device="cpu", dtype=torch.float32)
    with count_work(model) as work:
        generate_cached(model, PROMPT, SIX, kept)
    once = 4 * GROUPED.num_layers * GROUPED.num_heads * GROUPED.head_dim  # attend of the parent class ran as well
    assert [run.flops for run in work.runs] == [
        flops(GROUPED, n, held) + once * n * held for n, held in [(7, 7)] + [(1, h) for h in range(8, 13)]
    ]


@pytest.mark.parametrize(
    "config, dtype, size",
    [(GROUPED, torch.float32, 4), (EACH, torch.float32, 4), (GROUPED, torch.bfloat16, 2)],
    ids=str,
)
def test_bytes_are_those_of_the_formula(config, dtype, size):
    model = make_model(config, dtype)
    with count_work(model) as work:
        generate_cached(model, PROMPT, SIX)
    embedding = config.vocab_size * config.hidden_size
    matrices = config.num_parameters - (
        0 if config.tie_embeddings else embedding
    )  # a tied table is the last matrix as well
    assert [run.weight_bytes for run in work.runs] == [
        size * (matrices + n * config.hidden_size) for n in (7, 1, 1, 1, 1, 1)
    ]
    a_token = 2 * config.num_layers * config.num_kv_heads * config.head_dim * size
    assert [run.cache_bytes for run in work.runs] == [n * a_token for n in range(7, 13)]
    with count_work(model) as work:
        generate_naive(model, PROMPT, SIX)
    assert work.cache_bytes == 0


def test_a_batch_reads_the_weights_once_and_the_cache_of_each():
    model = make_model(EACH)
    kept = ContiguousBatch(EACH, 3, 8, device="cpu", dtype=torch.float32)
    with count_work(model) as work, torch.inference_mode():
        for counts in ([4, 2], [1, 1]):
            model(torch.ones(sum(counts), dtype=torch.int64), kept.begin_step([0, 2], counts), kept)
    a_token = 2 * 2 * 4 * 4 * 4
    assert [run.cache_bytes for run in work.runs] == [(4 + 2) * a_token, (5 + 3) * a_token]
    assert [run.tokens for run in work.runs] == [6, 2] and work.runs[1].weight_bytes == 4 * (
        EACH.num_parameters + 2 * 16
    )


def test_nothing_is_left_behind_and_nothing_outside_is_counted():
    model = make_model(EACH)
    with pytest.raises(ZeroDivisionError):
        with count_work(model) as work:
            generate_cached(model, PROMPT, SIX)
            raise ZeroDivisionError
    before = work.flops, len(work.runs)
    generate_cached(model, PROMPT, SIX)
    assert (work.flops, len(work.runs)) == before and not model._forward_hooks and not model._forward_pre_hooks
    assert repr(work).startswith("6 runs, 12 tokens computed, ")


# --- what a cache holds -------------------------------------------------------------------------


class Words:
    def token_text(self, i):
        return f"<{i}>"


def kept_by(cache, config=GROUPED, params=SIX):
    return record_cache(make_model(config), Words(), PROMPT, params, cache)


def cache(kind=ContiguousCache):
    return kind(GROUPED, 64, device="cpu", dtype=torch.float32)


def test_prefill_then_a_column_a_step():
    made = kept_by(None)
    assert made["steps"] == [{"first": 0, "count": 7, "kept": [7, 7, 7], "naive_tokens": 7}] + [
        {"first": n, "count": 1, "kept": [n + 1] * 3, "naive_tokens": n + 1} for n in range(7, 12)
    ]
    assert made["tokens"][:7] == [f"<{i}>" for i in PROMPT] and len(made["tokens"]) == 12
    assert (
        made["num_layers"],
        made["num_heads"],
        made["num_kv_heads"],
        made["head_dim"],
        made["bytes_per_number"],
    ) == (3, 6, 2, 8, 4)
    assert cache_filling(**made).last == 6


class Ignores(ContiguousCache):
    """Counts the tokens and looks at the new ones alone."""

    def attend(self, layer, q, k, v):
        self.num_tokens += len(k) if layer == self.config.num_layers - 1 else 0
        return Recompute().attend(layer, q, k, v)


class Masks(ContiguousCache):
    """Looks at the whole piece and masks what is not used yet."""

    def attend(self, layer, q, k, v):
        start, end = self.num_tokens, self.num_tokens + len(k)
        super().attend(layer, q, k, v)
        places = torch.arange(self.max_tokens)
        seen = places <= torch.arange(start, end)[:, None]
        return torch.nn.functional.scaled_dot_product_attention(
            q.transpose(0, 1)[None], self.k[layer][None], self.v[layer][None], attn_mask=seen, enable_gqa=True
        )[0].transpose(0, 1)


class Loops(ContiguousCache):
    """Head by head, softmax of a row with -inf in it."""

    def attend(self, layer, q, k, v):
        start, end = self.num_tokens, self.num_tokens + len(k)
        super().attend(layer, q, k, v)
        out = torch.empty_like(q)
        for t in range(len(q)):
            for h in range(q.shape[1]):
                scores = self.k[layer, h // 3, :end] @ q[t, h] / 8**0.5
                scores[start + t + 1 :] = -torch.inf
                out[t, h] = torch.softmax(scores, 0) @ self.v[layer, h // 3, :end]
        return out


class NotReset(ContiguousCache):
    """Forgets all layers but the last, which goes on behind the text before."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.old = 0

    def reset(self):
        self.old = self.num_tokens
        super().reset()

    def attend(self, layer, q, k, v):
        seen = self.old + self.num_tokens + len(k)
        out = super().attend(layer, q, k, v)
        if layer == 2 and self.old:
            torch.softmax(torch.zeros(1, seen), -1)
        return out


def test_what_is_kept_is_what_is_looked_at():
    due = [7, 8, 9, 10, 11, 12]
    for kind in (ContiguousCache, Masks, Loops):
        made = kept_by(cache(kind))
        assert [step["kept"] for step in made["steps"]] == [[n] * 3 for n in due], kind
    assert [step["kept"] for step in kept_by(cache(Ignores))["steps"]] == [[7] * 3] + [[1] * 3] * 5
    used = cache(NotReset)
    kept_by(used)
    used.reset()
    assert [step["kept"] for step in kept_by(used)["steps"]] == [[n, n, n + 12] for n in due]


def test_attention_without_softmax_is_believed():
    class ByHand(ContiguousCache):
        def attend(self, layer, q, k, v):
            with torch._C.DisableTorchFunction():
                return super().attend(layer, q, k, v)

    assert [step["kept"] for step in kept_by(cache(ByHand))["steps"]] == [[n] * 3 for n in (7, 8, 9, 10, 11, 12)]


@pytest.mark.parametrize(
    "look, keys",
    [
        (lambda: torch.zeros(5).softmax(0), 5),
        (lambda: (torch.zeros(5).softmax(0), torch.zeros(2).softmax(0)), 2),
        (lambda: torch.softmax(torch.tensor([[0.0, 0.0, 0.0], [0.0, -torch.inf, 0.0]]), dim=-1), 2),
        (lambda: torch.nn.functional.softmax(torch.zeros(2, 4, 6), dim=-1), 6),
        (lambda: torch.nn.functional.scaled_dot_product_attention(*(torch.zeros(1, 1, 3, 2),) * 3, is_causal=True), 3),
        (
            lambda: torch.nn.functional.scaled_dot_product_attention(
                torch.zeros(1, 1, 2, 2), *(torch.zeros(1, 1, 9, 2),) * 2, is_causal=True
            ),
            2,
        ),
        (
            lambda: torch.nn.functional.scaled_dot_product_attention(
                torch.zeros(1, 1, 2, 2),
                *(torch.zeros(1, 1, 9, 2),) * 2,
                attn_mask=torch.zeros(2, 9).index_fill(1, torch.tensor([8]), -torch.inf),
            ),
            8,
        ),
        (lambda: None, None),
    ],
)
def test_keys_are_counted_at_the_softmax(look, keys):
    with KeysSeen() as seen:
        look()
    assert seen.keys == keys


def test_a_text_of_no_new_tokens_cannot_be_shown_and_bad_prompts_are_refused():
    with pytest.raises(ParameterError, match="prompt is empty"):
        record_cache(make_model(GROUPED), Words(), [], SIX)
    assert kept_by(None, params=SamplingParams(max_tokens=1))["steps"] == [
        {"first": 0, "count": 7, "kept": [7] * 3, "naive_tokens": 7}
    ]


@pytest.mark.parametrize("operation", ATTENTION_FLOPS, ids=str)
def test_attention_of_grouped_heads_counts_alike_whichever_kernel_torch_takes(operation):
    q, k = (
        torch.empty(1, 6, 5, 16, device="meta"),
        torch.empty(1, 2, 9, 16, device="meta"),
    )  # kernels of a GPU need none there
    masked = (None, True) if "efficient" in str(operation) else (None, False) if "cudnn" in str(operation) else ()
    with FlopCounterMode(display=False, custom_mapping=ATTENTION_FLOPS) as counter:
        operation(q, k, k, *masked)
    assert counter.get_total_flops() == 6 * 5 * 9 * 4 * 16
