"""Decoding with a sliding window, kernel and torch twin, against float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_oracle import Paged, held_to

from course_lib.attention import select
from course_lib.attention.reference import twins
from course_lib.errors import ParameterError


def query(count, heads, head_dim, device):
    return torch.randn(count, heads, head_dim, generator=torch.Generator().manual_seed(1)).to(device)


# lens, (heads, kv_heads), head_dim, block_size, window
DECODE = [
    ([1, 63, 0, 65, 127], (3, 1), 16, 8, 1),
    ([1, 63, 0, 65, 127], (3, 1), 16, 8, 32),
    ([127, 40], (20, 1), 16, 7, 33),
    ([129, 31, 32], (2, 2), 80, 16, 31),
    ([300, 65], (1, 1), 128, 256, 100),
    ([64, 9], (2, 1), 16, 1, 1000),
]


@pytest.mark.parametrize("lens, heads, head_dim, block_size, window", DECODE, ids=str)
def test_decode_sees_the_window_alone_at_any_split_count(machine, device, lens, heads, head_dim, block_size, window):
    from course_lib.attention.kernels import paged

    dtype = torch.float32
    cache = Paged(lens, kv_heads=heads[1], head_dim=head_dim, block_size=block_size, device=device, dtype=dtype)
    q = query(len(lens), heads[0], head_dim, device)
    exact = cache.exactly(q, [1] * len(lens), window=window)
    twin = twins.paged_decode(q, *cache.given, window=window)
    held_to(twin, twin, exact)
    assert (twin.cpu().double() - exact).abs().max() < 1e-5
    forget_what_no_window_reaches(cache, window)
    for splits, dot in ((1, True), (2, False), (7, True), (None, None)):
        held_to(paged.paged_decode(q, *cache.given, window=window, splits=splits, dot=dot), twin, exact)


def forget_what_no_window_reaches(cache, window):
    """Blocks before the tile of 32 columns with the first visible token become NaN: nothing there may be read."""
    size = cache.k.shape[1]
    for table, length in zip(cache.tables.tolist(), cache.lens.tolist()):
        for block in table[: max(0, length - window) // 32 * 32 // size]:
            cache.k[block], cache.v[block] = math.nan, math.nan


@given(
    lens=st.lists(st.integers(0, 150), min_size=1, max_size=4),
    block_size=st.integers(1, 17),
    heads=st.sampled_from([(1, 1), (3, 1), (4, 2)]),
    window=st.integers(1, 160),
    splits=st.none() | st.integers(1, 6),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_drawn_windows(machine, lens, block_size, heads, window, splits):
    from course_lib.attention.kernels import paged

    how = dict(head_dim=16, block_size=block_size, device=machine.device, dtype=torch.float32)
    cache = Paged(lens, kv_heads=heads[1], **how)
    q = query(len(lens), heads[0], 16, machine.device)
    exact = cache.exactly(q, [1] * len(lens), window=window)
    twin = twins.paged_decode(q, *cache.given, window=window)
    assert (twin.cpu().double() - exact).abs().max() < 1e-5
    forget_what_no_window_reaches(cache, window)
    held_to(paged.paged_decode(q, *cache.given, window=window, splits=splits), twin, exact)


@pytest.mark.parametrize("window", [0, -1, 2.0, "all"])
def test_what_is_no_window_is_refused(device, window):
    cache = Paged([5], kv_heads=1, head_dim=16, block_size=4, device=device, dtype=torch.float32)
    with pytest.raises(ParameterError, match="window is"):
        select.paged_decode(query(1, 1, 16, device), *cache.given, window=window)
