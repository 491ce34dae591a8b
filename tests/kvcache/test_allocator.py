"""BlockAllocator: literal block ids, and refusals that change nothing."""

import pytest

from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator


def test_blocks_are_allocated_in_order_and_freed_to_the_end_of_the_list():
    a = BlockAllocator(4, 2)
    assert a.allocate(3) == [0, 1, 2] and a.num_free == 1
    a.free([1])
    assert a.allocate(2) == [3, 1]
    assert a.allocate() is None and a.num_free == 0


def test_without_room_nothing_is_allocated():
    a = BlockAllocator(3, 2)
    a.allocate(1)
    assert a.allocate(3) is None
    assert a.num_free == 2 and a.allocate(2) == [1, 2]
    assert a.allocate(0) == []


def test_a_block_is_free_when_its_last_reference_is_gone():
    a = BlockAllocator(2, 2)
    [b] = a.allocate()
    a.fork([b])
    a.free([b])
    assert a.ref_count(b) == 1 and a.num_free == 1
    a.free([b])
    assert a.ref_count(b) == 0 and a.num_free == 2


def test_a_block_freed_twice_is_refused_and_nothing_is_freed():
    a = BlockAllocator(4, 2)
    a.allocate(3)
    a.free([1])
    with pytest.raises(LedgerError, match="Block 1 is freed 1 time, but 0 tables hold it.*twice"):
        a.free([0, 1])
    with pytest.raises(LedgerError, match="Block 2 is freed 2 times, but 1 table holds it"):
        a.free([0, 2, 2])
    assert [a.ref_count(b) for b in range(4)] == [1, 0, 1, 0] and a.num_free == 2


@pytest.mark.parametrize("wrong", [-1, 4, 1.0, True, "0", None])
def test_an_unknown_id_is_refused_everywhere(wrong):
    a = BlockAllocator(4, 2)
    a.allocate(4)
    for call in (a.free, a.fork):
        with pytest.raises(LedgerError, match="There is no block .*0 to 3"):
            call([0, wrong])
    with pytest.raises(LedgerError, match="There is no block"):
        a.ref_count(wrong)
    assert [a.ref_count(b) for b in range(4)] == [1] * 4


def test_a_free_block_cannot_be_shared():
    a = BlockAllocator(4, 2)
    a.allocate(1)
    with pytest.raises(LedgerError, match="Block 1 is free"):
        a.fork([0, 1])
    assert a.ref_count(0) == 1


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, None])
def test_sizes_below_one_are_refused(wrong):
    with pytest.raises(ParameterError, match="num_blocks"):
        BlockAllocator(wrong, 4)
    with pytest.raises(ParameterError, match="block_size"):
        BlockAllocator(4, wrong)
    if wrong != 0:
        with pytest.raises(ParameterError, match="at least 0"):
            BlockAllocator(4, 4).allocate(wrong)


@pytest.mark.parametrize(
    "break_it, says",
    [
        (lambda a: a._free.append(3), "Block 3 stands 2 times"),
        (lambda a: a._free.pop(), "a block was lost"),
        (lambda a: a._free.append(0), "counted on both sides"),
        (lambda a: a._ref_count.__setitem__(0, 0), "a block was lost"),
        (
            lambda a: (a._ref_count.__setitem__(0, 0), a._ref_count.__setitem__(2, 1)),
            "Block 0 has the reference count 0 and is neither",
        ),
    ],
    ids=["twice free", "lost", "free and in use", "count 0, lost", "count 0, not free"],
)
def test_check_integrity_names_what_is_broken(break_it, says):
    a = BlockAllocator(4, 2)
    a.allocate(2)
    a.check_integrity()
    break_it(a)
    with pytest.raises(IntegrityError, match=says):
        a.check_integrity()
