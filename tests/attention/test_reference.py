"""Four ways to one output: each against a loop over pairs in float64, on odd shapes, by the ratio of errors."""

import pytest
import torch

from course_lib.attention import (
    chunked_attention,
    flash_attention_v1,
    flash_attention_v2,
    merge_partials,
    standard_attention,
)
from course_lib.errors import ParameterError

TILED = [chunked_attention, flash_attention_v1, flash_attention_v2]
ALL = [standard_attention, *TILED]
MASKS = {
    "causal": {},
    "bidirectional": {"causal": False},
    "window 1": {"window": 1},
    "window 5": {"window": 5},
    "window 200": {"window": 200},
    "both sides 3": {"causal": False, "window": 3},
}


def drawn(n, m, heads=1, kv_heads=1, head_dim=8, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (n, heads, head_dim), (m, kv_heads, head_dim), (m, kv_heads, head_dim)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def pair_by_pair(q, k, v, causal=True, window=None, cu_seqlens=None):
    """(out, lse) with a Python loop over every query and key. Obviously right, and slow."""
    out, lse = torch.zeros_like(q), torch.full(q.shape[:2], -float("inf"), dtype=q.dtype)
    document = [sum(edge <= position for edge in cu_seqlens or (0,)) for position in range(max(len(q), len(k)))]
    for row in range(len(q)):
        at = len(k) - len(q) + row
        seen = [
            j
            for j in range(len(k))
            if not (causal and j > at) and (window is None or abs(at - j) < window) and document[at] == document[j]
        ]
        for head in range(q.shape[1] if seen else 0):
            kv_head = head // (q.shape[1] // k.shape[1])
            scores = torch.stack([q[row, head] @ k[j, kv_head] for j in seen]) / q.shape[2] ** 0.5
            lse[row, head] = scores.logsumexp(0)
            out[row, head] = scores.softmax(0) @ v[seen, kv_head]
    return out, lse


@pytest.mark.parametrize("attention", ALL, ids=lambda f: f.__name__)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("n, m", [(1, 1), (7, 7), (13, 13), (3, 11), (1, 9)])
def test_every_algorithm_is_attention_pair_by_pair(attention, mask, n, m):
    q, k, v = drawn(n, m, heads=4, kv_heads=2)
    want = pair_by_pair(q, k, v, **MASKS[mask])
    tile = {} if attention is standard_attention else {"tile": (2, 3)}
    for got, expected in zip(attention(q, k, v, return_lse=True, **MASKS[mask], **tile), want):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("attention", ALL, ids=lambda f: f.__name__)
@pytest.mark.parametrize("more", [{}, {"causal": False}, {"window": 2}], ids=str)
@pytest.mark.parametrize("cu_seqlens", [(0, 9), (0, 4, 9), (0, 1, 1, 6, 9), (0, 0, 8, 9, 9)], ids=str)
def test_packed_documents_are_each_by_themselves(attention, more, cu_seqlens):
    q, k, v = drawn(9, 9, heads=3)
    got = attention(q, k, v, cu_seqlens=cu_seqlens, **more)
    torch.testing.assert_close(got, pair_by_pair(q, k, v, cu_seqlens=cu_seqlens, **more)[0])
    alone = [attention(q[a:b], k[a:b], v[a:b], **more) for a, b in zip(cu_seqlens, cu_seqlens[1:])]
    torch.testing.assert_close(got, torch.cat(alone))


def error(got, want):
    return ((got.double() - want).abs().max() / want.abs().max()).item()


@pytest.mark.parametrize("attention", TILED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("n", [1, 63, 65, 127])
@pytest.mark.parametrize("head_dim", [16, 64, 80])
@pytest.mark.parametrize("group", [1, 3, 7])
def test_float32_errs_no_more_than_the_standard_way(attention, n, head_dim, group):
    """Against float64: at most four times the error of the standard way in float32, or eight roundings."""
    exact = drawn(n, n, heads=group, head_dim=head_dim)
    q, k, v = (x.float() for x in exact)
    want = standard_attention(q.double(), k.double(), v.double())
    assert error(attention(q, k, v), want) <= max(4 * error(standard_attention(q, k, v), want), 8 * 2**-24)


@pytest.mark.parametrize("attention", ALL, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_comes_back_in_its_own_dtype_within_a_few_roundings(attention, dtype):
    q, k, v = drawn(65, 65, heads=2, head_dim=64, dtype=dtype)
    got = attention(q, k, v)
    assert got.dtype == dtype
    assert error(got, standard_attention(q.double(), k.double(), v.double())) <= 4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("attention", TILED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("tile", [(1, 1), (3, 2), (16, 64), (64, 16), (100, 100)], ids=str)
def test_the_tile_changes_nothing(attention, tile):
    q, k, v = drawn(21, 33, heads=2)
    torch.testing.assert_close(attention(q, k, v, window=9, tile=tile), standard_attention(q, k, v, window=9))


@pytest.mark.parametrize("attention", ALL, ids=lambda f: f.__name__)
@pytest.mark.parametrize("n, m", [(0, 0), (0, 4), (4, 0), (5, 2)])
def test_a_row_that_sees_nothing_is_zeros_and_never_nan(attention, n, m):
    q, k, v = drawn(n, m)
    out, lse = attention(q, k, v, return_lse=True)
    blind = max(0, n - m)  # queries that stand before the first key
    assert out.shape == q.shape and not out.isnan().any() and not lse.isnan().any()
    assert (out[:blind] == 0).all() and (lse[:blind] == -float("inf")).all()


@pytest.mark.parametrize("attention", ALL, ids=lambda f: f.__name__)
def test_scores_of_a_thousand_do_not_overflow(attention):
    q, k, v = drawn(9, 9, dtype=torch.float32)
    got = attention(100 * q, 100 * k, v)
    torch.testing.assert_close(
        got.double(), standard_attention(100 * q.double(), 100 * k.double(), v.double()), rtol=1e-3, atol=1e-3
    )


def test_the_scale_is_the_callers():
    q, k, v = drawn(6, 6)
    torch.testing.assert_close(flash_attention_v2(q, k, v, scale=0.5), flash_attention_v2(q * 0.5 * 8**0.5, k, v))


@pytest.mark.parametrize("cut", [0, 1, 5, 12])
def test_merged_partials_are_the_whole(cut):
    q, k, v = drawn(4, 12, heads=2)
    whole = standard_attention(q, k, v, causal=False, return_lse=True)
    one, two = (
        standard_attention(q, k[s], v[s], causal=False, return_lse=True) for s in (slice(cut), slice(cut, None))
    )
    for merged in (merge_partials(*one, *two), merge_partials(*two, *one)):
        for got, want in zip(merged, whole):
            torch.testing.assert_close(got, want)


def test_two_partials_that_saw_nothing_merge_into_nothing():
    out, lse = merge_partials(
        torch.zeros(2, 3), torch.full((2,), -float("inf")), torch.zeros(2, 3), torch.full((2,), -float("inf"))
    )
    assert (out == 0).all() and (lse == -float("inf")).all()


@pytest.mark.parametrize(
    "shapes, says",
    [
        (((4, 3, 8), (4, 2, 8), (4, 2, 8)), "3 query heads cannot share 2 KV heads"),
        (((4, 2, 8), (4, 2, 4), (4, 2, 4)), "do not fit"),
        (((4, 2, 8), (4, 2, 8), (5, 2, 8)), "do not fit"),
        (((4, 8), (4, 8), (4, 8)), "do not fit"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, says):
    with pytest.raises(ParameterError, match=says):
        flash_attention_v2(*(torch.zeros(shape) for shape in shapes))


@pytest.mark.parametrize(
    "options, says",
    [
        ({"window": 0}, "sees at least itself"),
        ({"cu_seqlens": [0, 3]}, "last of cu_seqlens"),
        ({"cu_seqlens": [0, 5, 2, 4]}, "never decreases"),
        ({"tile": (0, 4)}, "1 or more"),
        ({"tile": (4, 2.5)}, "1 or more"),
        ({"causal": "no"}, "True, where a token sees itself"),
        ({"scale": float("inf")}, "finite number above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(ParameterError, match=says):
        flash_attention_v2(*drawn(4, 4), **options)


def test_mixed_and_whole_number_dtypes_are_refused():
    q, k, v = drawn(4, 4)
    for wrong in ((q.float(), k, v), (q.long(), k.long(), v.long())):
        with pytest.raises(ParameterError, match="one floating-point dtype"):
            standard_attention(*wrong)


def test_merging_what_does_not_match_is_refused():
    with pytest.raises(ParameterError, match="same rows"):
        merge_partials(torch.zeros(2, 3), torch.zeros(2), torch.zeros(4, 3), torch.zeros(4))
