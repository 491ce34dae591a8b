"""KVPool: literal slots, and copies of blocks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import model

from course_lib.errors import ParameterError
from course_lib.kvcache import KVPool
from course_lib.kvcache.pool import independent


def test_a_token_is_written_to_its_slot_and_read_through_the_table():
    m = model()
    pool = KVPool(m.config, 4, 3, "cpu", torch.float32)
    assert pool.k.shape == pool.v.shape == (2, 4, 3, 2, 6) and pool.num_bytes == 2 * 2 * 4 * 3 * 2 * 6 * 4
    k, v = torch.randn(4, 2, 6), torch.randn(4, 2, 6)
    pool.write(1, torch.tensor([6, 7, 8, 3]), k, v)
    assert (
        torch.equal(pool.k[1, 2, 0], k[0]) and torch.equal(pool.k[1, 2, 2], k[2]) and torch.equal(pool.v[1, 1, 0], v[3])
    )
    got_k, got_v = pool.gather(1, torch.tensor([2, 1]), 4)
    assert torch.equal(got_k, k) and torch.equal(got_v, v)
    assert not pool.k[0].any() and not pool.k[1, 0].any() and not pool.k[1, 3].any()


@given(copies=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9))
@settings(max_examples=200, deadline=None)
def test_copies_have_the_effect_of_copying_one_pair_after_the_other(copies):
    pool = KVPool(model().config, 5, 2, "cpu", torch.float32)
    pool.k.copy_(torch.arange(5.0)[None, :, None, None, None].expand_as(pool.k))
    pool.v.copy_(-pool.k)
    content = list(range(5))
    for source, destination in copies:
        content[destination] = content[source]
    pool.copy_blocks(copies)
    for kept, sign in ((pool.k, 1), (pool.v, -1)):
        assert torch.equal(
            kept, sign * torch.tensor(content, dtype=torch.float32)[None, :, None, None, None].expand_as(kept)
        )


def test_only_copies_that_touch_no_block_written_before_are_grouped():
    assert independent([(0, 1), (2, 3), (0, 4)]) == 3
    assert independent([(0, 1), (2, 0)]) == 2  # 0 was read before it is written
    assert independent([(0, 1), (1, 2)]) == 1  # the second must read what the first wrote
    assert independent([(0, 1), (2, 1)]) == 1  # the second must be the last to write


@pytest.mark.parametrize("wrong", [(0, 5), (-1, 0), (True, 1), (0, 1.0)])
def test_copies_of_blocks_that_do_not_exist_are_refused(wrong):
    pool = KVPool(model().config, 5, 2, "cpu", torch.float32)
    pool.k[:, 0] = 1
    before = pool.k.clone()
    with pytest.raises(ParameterError, match="has 0 to 4"):
        pool.copy_blocks([(0, 1), wrong])
    assert torch.equal(pool.k, before)
