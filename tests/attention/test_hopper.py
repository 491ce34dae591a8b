"""The kernel for Hopper, in Gluon, against the torch twin in float32: odd lengths, groups, neighbours that hold NaN."""

import math

import pytest
import torch
from kernel_oracle import held_to

from course_lib.attention import select
from course_lib.attention.reference import twins

HOPPER = torch.cuda.is_available() and torch.version.hip is None and torch.cuda.get_device_capability() == (9, 0)
pytestmark = pytest.mark.skipif(not HOPPER, reason="the kernel needs a Hopper GPU (compute capability 9.0)")

LENGTHS = [
    [1],
    [63, 1, 64, 65],
    [128, 127, 300, 2],
    [2048] * 2,
    [1000, 17],
    [0, 5, 0, 0, 129, 0],
    [1] * 150,  # more tiles than programs, most of them past the end of their sequence
    [5000, 1, 3000],  # several tiles for each program, so that the rings of buffers go round
]
HEADS = [(4, 4), (8, 2), (3, 1)]
REPEATS = 20


def made(lens, heads, head_dim, dtype, seed=0):
    """q, k, v, and cu_seqlens."""
    draw = torch.Generator("cuda").manual_seed(seed)
    shapes = [(sum(lens), n, head_dim) for n in (heads[0], heads[1], heads[1])]
    q, k, v = (torch.randn(shape, generator=draw, device="cuda").to(dtype) for shape in shapes)
    return q, k, v, torch.tensor([0, *lens], device="cuda").cumsum(0).int()


def held_to_the_twin(out, q, k, v, cu, **options):
    """Fails if `out` is further from the twin in float32 than `held_to` allows for the twin in the dtype of q."""
    exact = twins.flash_attention(q.float(), k.float(), v.float(), cu, **options)
    held_to(out, twins.flash_attention(q, k, v, cu, **options), exact.cpu().double())


def kernel(*args, **options):
    from course_lib.attention.kernels import hopper

    return hopper.flash_attention(*args, **options)


@pytest.mark.parametrize("lens", LENGTHS, ids=lambda lens: f"{len(lens)}_of_{max(lens)}")
@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_the_kernel_gives_what_the_twin_gives_in_float32_every_time(lens, head_dim, dtype):
    for heads in HEADS:
        given = made(lens, heads, head_dim, dtype)
        first = kernel(*given)  # what the kernel does not write is NaN: see conftest.py
        held_to_the_twin(first, *given)
        for _ in range(REPEATS):
            assert torch.equal(kernel(*given), first), "two calls with the same tensors differ: a race"


def test_long_int64_and_a_scale_of_its_own():
    q, k, v, cu = made([300, 77], (2, 1), 128, torch.bfloat16)
    for scale in (0.01, 0.5):
        held_to_the_twin(kernel(q, k, v, cu.long(), scale=scale), q, k, v, cu, scale=scale)


def test_parts_of_one_projection_are_read_where_they_are():
    together = torch.randn(777, 8 + 2 * 2, 64, device="cuda", dtype=torch.bfloat16)
    q, k, v = together.split([8, 2, 2], 1)
    cu = torch.tensor([0, 700, 777], device="cuda", dtype=torch.int32)
    held_to_the_twin(kernel(q, k, v, cu), q, k, v, cu)
    odd = torch.randn(777 * 64 + 1, device="cuda", dtype=torch.bfloat16)[1:].view(777, 1, 64)  # not at 16 bytes
    held_to_the_twin(kernel(odd, odd, odd, cu), odd, odd, odd, cu)
    flipped = q.transpose(1, 2).contiguous().transpose(1, 2)  # head_dim is not the innermost dimension
    held_to_the_twin(kernel(flipped, k, v, cu), flipped, k, v, cu)


@pytest.mark.parametrize("head_dim", [64, 128])
@pytest.mark.parametrize("lens", [[20, 20, 20], [130, 500, 190]], ids=str)
def test_a_broken_sequence_stays_alone(lens, head_dim):
    q, k, v, cu = made(lens, (2, 1), head_dim, torch.bfloat16)
    alone = kernel(q, k, v, cu)
    start, end = lens[0], lens[0] + lens[1]
    v[start:end], k[start + 5], q[start + 7] = math.nan, math.inf, math.nan
    for _ in range(REPEATS):
        beside = kernel(q, k, v, cu)
        for rows in (slice(0, start), slice(end, None)):
            assert torch.equal(beside[rows], alone[rows])
        assert beside[start:end].isnan().all()


def test_no_tokens_and_no_sequences():
    q, k, v, cu = made([0, 0], (2, 1), 64, torch.bfloat16)
    assert kernel(q, k, v, cu).shape == (0, 2, 64) and kernel(q, k, v, cu[:1]).shape == (0, 2, 64)


def test_it_is_chosen_for_what_it_can_do_alone():
    choice = select.choose("flash_attention", device="cuda", dtype=torch.bfloat16)
    assert choice.runs == "gluon", choice
    q, k, v, cu = made([200, 100], (2, 1), 128, torch.bfloat16)
    assert torch.equal(select.flash_attention(q, k, v, cu), kernel(q, k, v, cu))
    for options in (dict(window=50), dict(causal=False)):
        held_to_the_twin(select.flash_attention(q, k, v, cu, **options), q, k, v, cu, **options)
