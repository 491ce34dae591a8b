"""BlockTable: literal slots, copy-on-write, and refusals that change nothing."""

import pytest

from course_lib.errors import LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator, BlockTable


def test_slots_follow_the_blocks():
    a = BlockAllocator(8, 4)
    first, second = BlockTable(a), BlockTable(a)
    assert first.append_slots(3) == [0, 1, 2]
    assert second.append_slots(4) == [4, 5, 6, 7]
    assert first.append_slots(3) == [3, 8, 9]
    assert first.block_ids == [0, 2] and [first.slot(p) for p in range(6)] == [0, 1, 2, 3, 8, 9]
    for position in (-1, 6, 1.0):
        with pytest.raises(ParameterError, match="no position"):
            first.slot(position)


@pytest.mark.parametrize("writer", ["parent", "child"])
def test_the_shared_last_block_of_a_fork_is_copied_once_whichever_table_writes_first(writer):
    a = BlockAllocator(8, 4)
    parent = BlockTable(a)
    parent.append_slots(6)
    child = parent.fork()
    assert [a.ref_count(b) for b in (0, 1)] == [2, 2] and a.num_free == 6
    one, other = (parent, child) if writer == "parent" else (child, parent)
    assert one.append_slots(1) == [2 * 4 + 2]
    assert one.block_ids == [0, 2] and other.block_ids == [0, 1]
    assert a.copies == [(1, 2)] and [a.ref_count(b) for b in (0, 1, 2)] == [2, 1, 1]
    assert other.append_slots(1) == [1 * 4 + 2] and a.copies == [(1, 2)]  # the only holder now: it writes in place


def test_a_full_last_block_is_never_copied():
    a = BlockAllocator(8, 4)
    parent = BlockTable(a)
    parent.append_slots(4)
    child = parent.fork()
    assert child.append_slots(1) == [4] and parent.append_slots(1) == [8] and a.copies == []


def test_an_append_without_room_changes_nothing_and_keeps_the_shared_block():
    a = BlockAllocator(3, 4)
    parent = BlockTable(a)
    parent.append_slots(6)
    child = parent.fork()
    assert child.append_slots(3) is None  # a copy and one new block are needed, and one is free
    assert child.block_ids == [0, 1] and child.num_tokens == 6 and a.copies == [] and a.num_free == 1
    assert child.append_slots(2) == [2 * 4 + 2, 2 * 4 + 3]


def test_shrink_frees_whole_blocks_and_the_table_can_grow_again_from_zero():
    a = BlockAllocator(4, 4)
    t = BlockTable(a)
    t.append_slots(11)
    t.shrink(5)
    assert t.block_ids == [0, 1] and t.num_tokens == 5 and a.num_free == 2
    t.shrink(0)
    assert t.block_ids == [] and t.num_tokens == 0 and a.num_free == 4
    assert t.append_slots(1) == [3 * 4]  # the block that is free for longest: 3 was never used
    with pytest.raises(LedgerError, match="cannot shrink to 2.*append_slots"):
        t.shrink(2)
    with pytest.raises(ParameterError, match="num_tokens is -1"):
        t.shrink(-1)


def test_a_table_frees_its_last_block_first():
    a = BlockAllocator(3, 2)
    t = BlockTable(a)
    t.append_slots(6)
    t.free()
    assert a.allocate(3) == [2, 1, 0]


def test_after_free_every_call_of_a_table_is_refused():
    a = BlockAllocator(4, 4)
    t = BlockTable(a, name="story")
    t.append_slots(5)
    t.free()
    assert a.num_free == 4
    for call in (t.free, t.fork, lambda: t.append_slots(1), lambda: t.slot(0), lambda: t.shrink(0)):
        with pytest.raises(LedgerError, match="story was freed already"):
            call()
    a.check_integrity()


class SmallestAllocator:
    """A learner's allocator of lesson 04 with only the methods that are needed before blocks are shared."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size, self.held = num_blocks, block_size, set()

    @property
    def num_free(self):
        return self.num_blocks - len(self.held)

    def allocate(self, n=1):
        free = sorted(set(range(self.num_blocks)) - self.held)[:n]
        if len(free) == n:
            self.held |= set(free)
            return free

    def free(self, block_ids):
        self.held -= set(block_ids)

    def ref_count(self, block_id):
        return int(block_id in self.held)


def test_a_table_works_with_the_smallest_allocator():
    t = BlockTable(SmallestAllocator(3, 2))
    assert t.append_slots(3) == [0, 1, 2] and t.append_slots(9) is None and t.num_tokens == 3
    t.free()
    assert t.allocator.num_free == 3 and t.allocator.copies == []
