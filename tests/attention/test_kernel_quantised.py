"""Quantised caches, kernel and torch twin: the same bytes stored, and attention held to float64 over what they mean."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracle import attend_exactly, decode_in_order, held_to

from course_lib.attention import select
from course_lib.attention.reference import twins
from course_lib.attention.reference.quantise import LARGEST, STORED_AS, dequantise, pack, quantise, unpack
from course_lib.errors import ParameterError

KINDS = list(LARGEST)


class Quantised:
    """A cache in shuffled blocks whose unused slots have NaN for a scale; tables are padded with wrong ids."""

    def __init__(self, lens, *, kind, kv_heads, head_dim, block_size, device, dtype=torch.float32, seed=0):
        draw = torch.Generator().manual_seed(seed)
        blocks = [-(-n // block_size) for n in lens]
        order = torch.randperm(sum(blocks) + 2, generator=draw).tolist()
        self.tables = torch.full((len(lens), max(blocks, default=0) + 2), -7, dtype=torch.int32)
        shape = sum(blocks) + 2, block_size, kv_heads
        width = head_dim // 2 if kind == "int4" else head_dim
        self.k, self.v = (torch.zeros(*shape, width, dtype=STORED_AS[kind], device=device) for _ in "kv")
        self.scales = [torch.full((shape[0], kv_heads, block_size), math.nan, device=device) for _ in "kv"]
        self.keys, self.values, self.lens = [], [], torch.tensor(lens, dtype=torch.int32, device=device)
        for row, (n, count) in enumerate(zip(lens, blocks)):
            ids = [order.pop() for _ in range(count)]
            self.tables[row, :count] = torch.tensor(ids, dtype=torch.int32)
            slots = torch.tensor(
                [ids[p // block_size] * block_size + p % block_size for p in range(n)], dtype=torch.int64
            )
            for kept, scale, out in zip((self.k, self.v), self.scales, (self.keys, self.values)):
                fresh = (torch.randn(n, kv_heads, head_dim, generator=draw) * 3).to(device, dtype)
                numbers, s = quantise(fresh, kind)
                kept.flatten(0, 1)[slots] = numbers
                scale[slots // block_size, :, slots % block_size] = s
                out.append(dequantise(numbers, s, torch.float64))
        self.tables = self.tables.to(device)

    @property
    def given(self):
        return self.k, self.v, self.tables, self.lens

    @property
    def named(self):
        return dict(k_scale=self.scales[0], v_scale=self.scales[1])

    def exactly(self, q, new, sinks=0, window=None):
        return torch.cat(
            [
                attend_seen(one, k, v, sinks, window) if len(one) else one.cpu().double()
                for one, k, v in zip(q.split(new), self.keys, self.values)
            ]
        )


def attend_seen(q, k, v, sinks, window):
    """attend_exactly, with the first `sinks` tokens seen by all."""
    if not sinks:
        return attend_exactly(q, k, v, window=window)
    q, k, v = (x.cpu().double() for x in (q, k, v))
    at = torch.arange(len(k))
    rows = at[len(k) - len(q) :, None]
    seen = (rows >= at) & ((rows - at < window) | (at < sinks))
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[2])
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(-1), v)


def query(count, heads, head_dim, device, dtype=torch.float32):
    return torch.randn(count, heads, head_dim, generator=torch.Generator().manual_seed(1)).to(device, dtype)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=40), st.sampled_from(KINDS))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_no_number_is_further_off_than_half_a_step(numbers, kind):
    x = torch.tensor(numbers[: len(numbers) // 2 * 2])
    stored, scale = quantise(x, kind)
    assert stored.dtype == STORED_AS[kind] and scale.dtype == torch.float32 and scale.shape == ()
    back, s = dequantise(stored, scale, torch.float64), scale.double()
    step = torch.full_like(back, float(s)) / 2
    if kind == "fp8":  # four bits of a number: half of one sixteenth of the power of 2 below it
        step = torch.maximum(x.double().abs() / 16, s / 1024)
    assert bool(((x.double() - back).abs() <= step * (1 + 1e-5) + 1e-40).all())
    assert torch.equal(quantise(torch.zeros(4), kind)[1], torch.tensor(0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_number_comes_back(kind):
    x = torch.tensor([[3.0, -7.0], [0.5, 0.25], [0.0, 0.0]])
    back = dequantise(*quantise(x, kind))
    assert torch.allclose(back.abs().amax(-1), x.abs().amax(-1), rtol=1e-6)


def test_two_numbers_share_a_byte():
    whole = torch.tensor([[-7, 7, 0, -1, 3, -8]], dtype=torch.int8)
    assert pack(whole).tolist() == [[0x79, 0xF0, 0x83]] and torch.equal(unpack(pack(whole)), whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads, head_dim, block_size", [(2, 16, 4), (1, 80, 7), (3, 6, 1)])
def test_the_kernel_stores_the_bytes_of_its_twin(machine, device, kind, heads, head_dim, block_size):
    from course_lib.attention.kernels import store

    draw, found = torch.Generator().manual_seed(3), []
    k, v = (torch.randn(9, heads, head_dim, generator=draw) * 10 ** (i - 1.0) for i in range(2))
    k[2], v[3, 0] = 0, torch.linspace(-448, 448, head_dim)  # all scales and, in fp8, ties between two numbers
    k[4] = torch.linspace(-1, 1, head_dim) * 2.0**-5
    slots = torch.tensor([3, -1, 0, 12, 7, -1, 5, 27, 1])
    for module in (twins, store):
        kept = [torch.zeros(28, block_size, heads, head_dim // (2 if kind == "int4" else 1)) for _ in "kv"]
        kept = [x.to(device, STORED_AS[kind]) for x in kept]
        scales = [torch.zeros(28, heads, block_size, device=device) for _ in "kv"]
        how = dict(zip(("k_scale", "v_scale"), scales))
        module.store_kv(k.to(device), v.to(device), *kept, slots.to(device), **how)
        found.append([x.cpu().view(torch.uint8) for x in kept] + [x.cpu() for x in scales])
    for twin, kernel in zip(*found):
        assert torch.equal(twin, kernel)
    assert found[0][2].count_nonzero() == 6 * heads  # seven tokens are stored; of one all numbers are 0


DECODE = [
    ([1, 63, 0, 65, 127], (3, 1), 16, 8, None, 0),
    ([127, 40], (20, 1), 16, 7, 33, 5),
    ([129, 31, 32], (2, 2), 80, 16, 31, 1),
    ([300, 65], (1, 1), 128, 64, 100, 40),
    ([64, 9], (4, 2), 6, 1, 1000, 3),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lens, heads, head_dim, block_size, window, sinks", DECODE, ids=str)
def test_decode_over_what_the_bytes_mean(machine, device, kind, lens, heads, head_dim, block_size, window, sinks):
    from course_lib.attention.kernels import paged

    shape = dict(kv_heads=heads[1], head_dim=head_dim, block_size=block_size)
    cache = Quantised(lens, kind=kind, device=device, **shape)
    q, how = query(len(lens), heads[0], head_dim, device), dict(window=window, sinks=sinks)
    exact = cache.exactly(q, [1] * len(lens), sinks, window)
    twin = twins.paged_decode(q, *cache.given, **cache.named, **how)
    assert (twin.cpu().double() - exact).abs().max() < 1e-5
    seen = [[j for j in range(n) if window is None or j >= n - window or j < sinks] for n in lens]
    in_order = decode_in_order(q, cache.keys, cache.values, seen)
    assert (in_order.double() - exact).abs().max() < 2e-5
    for splits, dot in ((1, True), (2, False), (7, True), (None, None)):
        out = paged.paged_decode(q, *cache.given, **cache.named, **how, splits=splits, dot=dot)
        held_to(out, twin, exact, in_order)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window, sinks", [(None, 0), (9, 0), (9, 4), (40, 33)])
def test_chunks_and_decodes_over_what_the_bytes_mean(machine, device, kind, window, sinks):
    from course_lib.attention.kernels import paged

    lens, new = [70, 5, 33, 90], [7, 5, 1, 60]
    cache = Quantised(lens, kind=kind, kv_heads=2, head_dim=24, block_size=5, device=device)
    q, how = query(sum(new), 4, 24, device), dict(window=window, sinks=sinks)
    ends = torch.tensor([0, 7, 12, 13, 73], dtype=torch.int32, device=device)
    exact = cache.exactly(q, new, sinks, window)
    twin = twins.paged_attention(q, *cache.given, ends, **cache.named, **how)
    assert (twin.cpu().double() - exact).abs().max() < 1e-5
    held_to(paged.paged_attention(q, *cache.given, ends, **cache.named, **how), twin, exact)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head_dim, window, sinks", [(64, None, 0)] + [(80, 100, 3)] * torch.cuda.is_available())
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(machine, device, kind, dtype, head_dim, window, sinks):
    """Where the chip has instructions for a kind, these run here. The cache holds every number that the kind has."""
    from course_lib.attention.kernels import paged

    if dtype == torch.bfloat16 and device == "cpu":
        pytest.skip("interpreted Triton is wrong in bfloat16, and refused; checked on a GPU")
    lens, new = [70 if device == "cpu" else 150, 41], [1, 1]  # compiled kernels have tiles of up to 128 tokens
    cache = Quantised(lens, kind=kind, kv_heads=2, head_dim=head_dim, block_size=16, device=device, dtype=dtype)
    for kept in (cache.k, cache.v):
        every = torch.arange(256, dtype=torch.uint8, device=device)
        every = every[(every & 15 != 8) & (every >> 4 != 8)] if kind == "int4" else every[every != 128]
        every = every[every & 127 != 127] if kind == "fp8" else every  # no NaN
        flat = kept.view(torch.uint8).flatten()
        flat.copy_(every.repeat(-(-len(flat) // len(every)))[: len(flat)])
    q, how = query(2, 4, head_dim, device, dtype), dict(window=window, sinks=sinks)
    keys, values = (
        [
            dequantise(kept[table[: -(-n // 16)].long()].flatten(0, 1)[:n], scale, torch.float64)
            for table, n, scale in zip(cache.tables, lens, scales)
        ]
        for kept, scales in zip(
            (cache.k, cache.v), ([s[t[: -(-n // 16)].long()].transpose(1, 2).flatten(0, 1)[:n]
                                  for t, n in zip(cache.tables, lens)] for s in cache.scales)
        )
    )  # fmt: skip
    cache.keys, cache.values = keys, values
    exact = cache.exactly(q, new, sinks, window)
    twin = twins.paged_decode(q, *cache.given, **cache.named, **how)
    for splits in (1, 3):
        held_to(paged.paged_decode(q, *cache.given, **cache.named, **how, splits=splits), twin, exact)
    ends = torch.tensor([0, 1, 2], dtype=torch.int32, device=device)
    held_to(paged.paged_attention(q, *cache.given, ends, **cache.named, **how), twin, exact)


@given(
    lens=st.lists(st.integers(1, 120), min_size=1, max_size=3),
    block_size=st.integers(1, 17),
    window=st.integers(1, 90),
    sinks=st.integers(0, 70),
    splits=st.none() | st.integers(1, 5),
    kind=st.sampled_from(KINDS),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_blocks_that_nobody_sees_are_not_read(machine, lens, block_size, window, sinks, splits, kind):
    from course_lib.attention.kernels import paged

    shape = dict(kv_heads=1, head_dim=16, block_size=block_size)
    cache = Quantised(lens, kind=kind, device=machine.device, **shape)
    q, how = query(len(lens), 2, 16, machine.device), dict(window=window, sinks=sinks)
    exact = cache.exactly(q, [1] * len(lens), sinks, window)
    for row, n in enumerate(lens):  # an id that does not exist, for each block that holds no visible token
        for place in range(cache.tables.shape[1]):
            begin, end = place * block_size, (place + 1) * block_size
            if not (begin < n and (end > n - window or begin < sinks)):
                cache.tables[row, place] = -(10**6)
    twin = twins.paged_decode(q, *cache.given, **cache.named, **how)
    assert (twin.cpu().double() - exact).abs().max() < 1e-5
    held_to(paged.paged_decode(q, *cache.given, **cache.named, **how, splits=splits), twin, exact)


def test_what_does_not_fit_a_quantised_cache_is_refused(device):
    cache = Quantised([5], kind="int8", kv_heads=1, head_dim=16, block_size=4, device=device)
    q, k = query(1, 1, 16, device), query(1, 1, 16, device)
    with pytest.raises(ParameterError, match="k_scale is a NoneType; a cache in int8 needs.*num_kv_heads, block_size"):
        select.paged_decode(q, *cache.given)
    with pytest.raises(ParameterError, match="k_scale is a torch.float32 tensor of shape"):
        select.paged_decode(q, *cache.given, k_scale=cache.scales[0].transpose(1, 2), v_scale=cache.scales[1])
    with pytest.raises(ParameterError, match="v_scale is a NoneType"):
        select.store_kv(k, k, cache.k, cache.v, torch.tensor([0]), k_scale=cache.scales[0])
    with pytest.raises(ParameterError, match="not quantised. Leave it out"):
        plain = torch.zeros(4, 4, 1, 16, device=device)
        select.paged_decode(q, plain, plain, *cache.given[2:], **cache.named)
    with pytest.raises(ParameterError, match="an odd number. Take int8 or fp8"):
        odd = torch.zeros(1, 1, 5, device=device)
        kept = torch.zeros(4, 4, 1, 3, dtype=torch.uint8, device=device)
        select.store_kv(odd, odd, kept, kept, torch.tensor([0]), **cache.named)
    for sinks, window, words in ((2, None, "Give a window too"), (-1, 4, "0 or more"), (1.0, 4, "0 or more")):
        with pytest.raises(ParameterError, match=words):
            select.paged_decode(q, *cache.given, **cache.named, window=window, sinks=sinks)
    with pytest.raises(ParameterError, match="There is no kind 'int3'"):
        quantise(k, "int3")
