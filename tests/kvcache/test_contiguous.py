"""ContiguousCache and ContiguousBatch, compared with attention as plain sums, and with one sequence alone."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from course_lib.errors import CacheFull, ParameterError
from course_lib.kvcache import ContiguousBatch, ContiguousCache, Recompute
from course_lib.models import ModelConfig


def config(num_layers=2, num_heads=4, num_kv_heads=2, head_dim=6):
    return ModelConfig(
        vocab_size=10,
        hidden_size=8,
        intermediate_size=8,
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
    )


def cache(max_tokens=12, **shape):
    return ContiguousCache(config(**shape), max_tokens, device="cpu", dtype=torch.float32)


def batch(max_seqs=4, max_tokens=12, **shape):
    return ContiguousBatch(config(**shape), max_seqs, max_tokens, device="cpu", dtype=torch.float32)


def sequence(shape, num_tokens, seed=0):
    """q, k, v of a sequence for each layer: k and v differ between layers, heads and tokens."""
    draw = torch.Generator().manual_seed(seed)

    def one(heads):
        return torch.randn(num_tokens, heads, shape.head_dim, generator=draw)

    return [(one(shape.num_heads), one(shape.num_kv_heads), one(shape.num_kv_heads)) for _ in range(shape.num_layers)]


def compute(kept, layers, rows):
    """One step through all layers; returns the attention output of each."""
    return [kept.attend(layer, q[rows], k[rows], v[rows]) for layer, (q, k, v) in enumerate(layers)]


def by_hand(q, k, v):
    """Causal attention in float64, a sum at a time."""
    q, k, v = q.double(), k.double(), v.double()
    group, out = q.shape[1] // k.shape[1], torch.zeros_like(q)
    for t in range(len(q)):
        for h in range(q.shape[1]):
            scores = torch.stack([q[t, h] @ k[j, h // group] / math.sqrt(q.shape[2]) for j in range(t + 1)])
            weights = scores.exp() / scores.exp().sum()
            out[t, h] = sum(w * v[j, h // group] for j, w in enumerate(weights))
    return out


SPLITS = [[7], [1] * 7, [3, 1, 1, 1, 1], [1, 6], [2, 3, 2], [6, 1]]
SHAPES = [
    dict(num_heads=4, num_kv_heads=2),
    dict(num_heads=3, num_kv_heads=3),
    dict(num_heads=6, num_kv_heads=1),
    dict(num_heads=6, num_kv_heads=2, num_layers=3, head_dim=10),
    dict(num_heads=1, num_kv_heads=1, num_layers=1, head_dim=2),
]


@pytest.mark.parametrize("split", SPLITS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_attention_is_the_plain_sum_however_the_sequence_is_cut_into_steps(shape, split):
    layers, kept, start = sequence(config(**shape), 7), cache(**shape), 0
    for n in split:
        outs = compute(kept, layers, slice(start, start + n))
        for out, (q, k, v) in zip(outs, layers):
            torch.testing.assert_close(out.double(), by_hand(q, k, v)[start : start + n], atol=2e-6, rtol=1e-5)
        start += n
        assert kept.num_tokens == start


def test_an_example_by_hand():
    """One head of two numbers. Queries of zero weigh all tokens equally: the output is the mean value so far."""
    kept = cache(num_layers=1, num_heads=1, num_kv_heads=1, head_dim=2)
    zero = torch.zeros(1, 1, 2)
    outs = [kept.attend(0, zero, zero, torch.tensor([[[x, 2 * x]]]))[0, 0].tolist() for x in (2.0, 4.0, 9.0)]
    assert outs == [[2, 4], [3, 6], [5, 10]]


def test_every_layer_of_a_step_starts_at_the_same_token():
    kept, layers = cache(num_layers=3), sequence(config(num_layers=3), 5)
    for layer, (q, k, v) in enumerate(layers):
        kept.attend(layer, q, k, v)
        assert kept.num_tokens == (0 if layer < 2 else 5)


def test_a_step_that_fails_halfway_can_be_repeated():
    kept, layers = cache(), sequence(config(), 6)
    compute(kept, layers, slice(0, 4))
    q, k, v = layers[0]
    kept.attend(0, q[:1] + 7, k[:1] + 7, v[:1] + 7)  # and no other layer follows
    out = compute(kept, layers, slice(4, 6))[1]
    torch.testing.assert_close(out, Recompute().attend(1, *layers[1])[4:], atol=2e-6, rtol=1e-5)


def test_reset_forgets_the_sequence_and_keeps_the_memory():
    kept = cache()
    compute(kept, sequence(config(), 9), slice(0, 9))
    place = kept.k.data_ptr()
    kept.reset()
    assert kept.num_tokens == 0 and kept.num_bytes_used == 0
    layers = sequence(config(), 5, seed=1)
    for out, (q, k, v) in zip(compute(kept, layers, slice(0, 5)), layers):
        assert out.equal(Recompute().attend(0, q, k, v))
    assert kept.k.data_ptr() == place


@pytest.mark.parametrize("held, new", [(0, 13), (5, 8), (12, 1)])
def test_too_many_tokens_are_refused_with_the_numbers_and_what_to_change(held, new):
    kept, layers = cache(), sequence(config(), 30)
    if held:
        compute(kept, layers, slice(0, held))
    before = kept.k.clone(), kept.v.clone()
    with pytest.raises(
        CacheFull,
        match=f"holds {held} tokens and was asked to take {new} more.*made for 12, so {12 - held} fit. "
        f"Make it with max_tokens={held + new}",
    ):
        compute(kept, layers, slice(held, held + new))
    assert kept.num_tokens == held and kept.k.equal(before[0]) and kept.v.equal(before[1])
    if held < 12:
        compute(kept, layers, slice(held, 12))  # until it is full
    assert kept.num_tokens == 12


@pytest.mark.parametrize("max_tokens", [0, -1, 2.0, "8", True, None])
def test_a_size_below_one_is_refused(max_tokens):
    with pytest.raises(ParameterError, match="max_tokens is .* whole number of at least 1"):
        ContiguousCache(config(), max_tokens)
    with pytest.raises(ParameterError, match="max_tokens is .* whole number of at least 1"):
        ContiguousBatch(config(), 2, max_tokens)


@pytest.mark.parametrize("other", [dict(num_kv_heads=4), dict(head_dim=8), dict(dtype=torch.float64)], ids=str)
def test_keys_of_another_model_are_refused(other):
    dtype = other.pop("dtype", torch.float32)
    layers = [[x.to(dtype) for x in qkv] for qkv in sequence(config(**other), 3)]
    for kept in (cache(), batch()):
        if isinstance(kept, ContiguousBatch):
            kept.begin_step([0], [3])
        with pytest.raises(ParameterError, match="Make it for this model"):
            compute(kept, layers, slice(0, 3))
        assert not kept.k.any()


def test_bytes_are_those_of_the_tensors():
    kept = cache()
    assert kept.k.shape == (2, 2, 12, 6)
    # 2 (K and V) x 2 layers x 2 KV heads x 6 numbers x 4 bytes = 192 bytes a token
    assert kept.num_bytes == kept.k.nbytes + kept.v.nbytes == 12 * 192
    compute(kept, sequence(config(), 5), slice(0, 5))
    assert kept.num_bytes_used == 5 * 192 == 2 * kept.k[:, :, :5].numel() * 4
    half = ContiguousCache(config(), 12, device="cpu", dtype=torch.bfloat16)
    assert half.num_bytes == 6 * 192 and half.k.dtype == torch.bfloat16


def test_its_repr_tells_its_tokens_and_bytes():
    kept = cache()
    compute(kept, sequence(config(), 5), slice(0, 5))
    assert repr(kept) == "ContiguousCache(5 of 12 tokens, 2,304 bytes)"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.sampled_from(SHAPES), st.integers(0, 99))
def test_any_split_into_steps_gives_what_recompute_gives(split, shape, seed):
    total = sum(split)
    layers, kept, start = sequence(config(**shape), total, seed), cache(max_tokens=total, **shape), 0
    whole = [Recompute().attend(layer, *qkv) for layer, qkv in enumerate(layers)]
    for n in split:
        for out, right in zip(compute(kept, layers, slice(start, start + n)), whole):
            torch.testing.assert_close(out, right[start : start + n], atol=2e-6, rtol=1e-5)
        start += n


# --- a batch ------------------------------------------------------------------------------------


def step(kept, sequences, seq_ids, counts):
    """One flat step of the batch: (positions, outputs of each layer, by sequence)."""
    starts = [kept.num_tokens[i] for i in seq_ids]
    positions = kept.begin_step(seq_ids, counts)
    outs = []
    for layer in range(kept.config.num_layers):
        flat = [
            torch.cat([sequences[i][layer][part][s : s + n] for i, s, n in zip(seq_ids, starts, counts)])
            for part in range(3)
        ]
        outs.append(kept.attend(layer, *flat).split(counts))
    return positions, [[outs[layer][row] for layer in range(kept.config.num_layers)] for row in range(len(seq_ids))]


def test_sequences_of_unequal_length_in_one_step_give_what_each_gives_alone():
    kept, sequences = batch(), [sequence(config(), 12, seed) for seed in range(4)]
    for seq_ids, counts in [
        ([0, 1, 3], [5, 1, 3]),
        ([0, 1, 3], [1, 1, 1]),
        ([2, 0], [2, 4]),
        ([0, 1, 2, 3], [1, 1, 1, 1]),
        ([3, 1], [1, 1]),
    ]:
        starts = [kept.num_tokens[i] for i in seq_ids]
        positions, outs = step(kept, sequences, seq_ids, counts)
        assert positions.tolist() == [p for s, n in zip(starts, counts) for p in range(s, s + n)]
        assert kept.seq_lens == [s + n for s, n in zip(starts, counts)]
        for i, s, n, layers in zip(seq_ids, starts, counts, outs):
            for layer, out in enumerate(layers):
                right = Recompute().attend(layer, *(x[: s + n] for x in sequences[i][layer]))[s:]
                torch.testing.assert_close(out, right, atol=2e-6, rtol=1e-5)
    assert kept.num_tokens == [11, 4, 3, 6]


def test_a_batch_refuses_wrong_steps_and_changes_nothing():
    kept, sequences = batch(), [sequence(config(), 30, seed) for seed in range(4)]
    step(kept, sequences, [0, 1], [5, 12])
    before = kept.k.clone(), list(kept.num_tokens)
    for ids, counts, error, words in [
        ([], [], ParameterError, "at least one sequence"),
        ([0, 1], [1], ParameterError, "one count for each"),
        ([0, 0], [1, 1], ParameterError, "each once"),
        ([4], [1], ParameterError, "There is no sequence 4; this batch has 0 to 3"),
        ([-1], [1], ParameterError, "There is no sequence -1"),
        ([2], [0], ParameterError, "num_new_tokens is 0"),
        ([2, 0], [3, 8], CacheFull, "Sequence 0 holds 5 tokens and was asked to take 8 more.*so 7 fit"),
        ([2, 1], [3, 1], CacheFull, "Sequence 1 holds 12 tokens.*so 0 fit"),
    ]:
        with pytest.raises(error, match=words):
            kept.begin_step(ids, counts)
    with pytest.raises(ParameterError, match="1 tokens came, but begin_step announced 0"):
        compute(kept, sequences[0], slice(5, 6))
    kept.begin_step([0], [2])
    with pytest.raises(ParameterError, match="3 tokens came, but begin_step announced 2"):
        compute(kept, sequences[0], slice(5, 8))
    with pytest.raises(ParameterError, match="no sequence 9 to forget"):
        kept.reset(9)
    assert kept.k.equal(before[0]) and kept.num_tokens == before[1]


class BatchMachine(RuleBasedStateMachine):
    """Any order of steps, failures and resets: every sequence always gives what it gives alone."""

    @initialize(shape=st.sampled_from(SHAPES))
    def begin(self, shape):
        self.batch = batch(max_seqs=3, max_tokens=9, **shape)
        self.seeds, self.held, self.next_seed = [0, 1, 2], [0, 0, 0], 3

    @rule(
        ids=st.lists(st.sampled_from(range(3)), min_size=1, max_size=3, unique=True),
        counts=st.lists(st.integers(1, 4), min_size=3, max_size=3),
        single=st.booleans(),
    )
    def add_tokens(self, ids, counts, single):
        counts = [1 if single else n for n in counts[: len(ids)]]
        if any(self.held[i] + n > 9 for i, n in zip(ids, counts)):
            with pytest.raises(CacheFull):
                self.batch.begin_step(ids, counts)
            return
        sequences = [sequence(self.batch.config, 9, seed) for seed in self.seeds]
        _, outs = step(self.batch, sequences, ids, counts)
        for i, n, layers in zip(ids, counts, outs):
            for layer, out in enumerate(layers):
                right = Recompute().attend(layer, *(x[: self.held[i] + n] for x in sequences[i][layer]))[self.held[i] :]
                torch.testing.assert_close(out, right, atol=2e-6, rtol=1e-5)
            self.held[i] += n

    @precondition(lambda self: any(self.held))
    @rule(i=st.sampled_from(range(3)))
    def reset(self, i):
        self.batch.reset(i)
        self.held[i], self.seeds[i], self.next_seed = 0, self.next_seed, self.next_seed + 1

    @rule()
    def reset_all(self):
        self.batch.reset()
        self.held = [0, 0, 0]

    @invariant()
    def the_number_of_tokens_is_right(self):
        assert self.batch.num_tokens == self.held


TestBatchMachine = BatchMachine.TestCase
TestBatchMachine.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
