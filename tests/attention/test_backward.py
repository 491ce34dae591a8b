"""The gradient by recomputation, against finite differences and against autograd through the matrix."""

import pytest
import torch

from course_lib.attention import recomputed_attention, standard_attention
from course_lib.attention.reference.meter import Meter

OPTIONS = {
    "causal": {},
    "bidirectional": {"causal": False},
    "window": {"window": 2},
    "documents": {"cu_seqlens": (0, 2, 5)},
    "scale": {"scale": 0.3},
}


def drawn(n, m, heads, kv_heads, head_dim):
    generator = torch.Generator().manual_seed(1)
    shapes = (n, heads, head_dim), (m, kv_heads, head_dim), (m, kv_heads, head_dim)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("name", OPTIONS)
def test_gradcheck(name):
    assert torch.autograd.gradcheck(
        lambda *x: recomputed_attention(*x, tile=(2, 3), **OPTIONS[name]), drawn(5, 5, 2, 1, 3)
    )


@pytest.mark.parametrize(
    "n, m, heads, kv_heads", [(1, 1, 1, 1), (65, 65, 3, 1), (7, 63, 7, 1), (33, 33, 4, 2), (6, 3, 1, 1), (0, 3, 1, 1)]
)
def test_the_same_gradient_as_through_the_matrix(n, m, heads, kv_heads):
    inputs = drawn(n, m, heads, kv_heads, 16)
    weights = torch.randn(n, heads, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    got = torch.autograd.grad((recomputed_attention(*inputs, tile=(16, 32)) * weights).sum(), inputs)
    positions = torch.arange(n)[:, None] + m - n
    seen = torch.arange(m)[None, :] <= positions
    q, k, v = inputs
    k, v = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (k, v))
    scores = torch.einsum("nhd,mhd->hnm", q, k) / 4
    probabilities = scores.masked_fill(~seen, -1e300).softmax(2) * seen
    out = torch.einsum("hnm,mhd->nhd", probabilities, v)
    torch.testing.assert_close(recomputed_attention(*inputs), out)
    for mine, theirs in zip(got, torch.autograd.grad((out * weights).sum(), inputs)):
        torch.testing.assert_close(mine, theirs)


def test_what_is_kept_for_the_gradient_grows_with_the_length_only():
    kept = []

    def keep(x):
        kept.append(x.numel())
        return x

    for n in (32, 64):
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            recomputed_attention(*drawn(n, n, 1, 1, 8))
    half = len(kept) // 2
    assert sum(kept[half:]) == 2 * sum(kept[:half]) == 64 * (4 * 8 + 1)  # q, k, v, out and one number a row
    through_the_matrix = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: through_the_matrix.append(x.numel()) or x, lambda x: x):
        standard_attention(*drawn(64, 64, 1, 1, 8))
    assert max(through_the_matrix) >= 64 * 64


def test_the_backward_pass_skips_the_same_tiles():
    meter = Meter()
    recomputed_attention(*drawn(12, 12, 1, 1, 4), tile=(3, 3), meter=meter).sum().backward()
    assert meter.tiles == {"none": 12, "some": 8, "all": 12}  # forward and backward
