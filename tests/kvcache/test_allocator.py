"""BlockAllocator and BlockTable: literal ids, refusals, and random programs against memory that is really written."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator, BlockTable


def test_blocks_are_handed_out_in_order_and_come_back_at_the_end():
    a = BlockAllocator(4, 2)
    assert a.allocate(3) == [0, 1, 2] and a.num_free == 1
    a.free([1])
    assert a.allocate(2) == [3, 1]
    assert a.allocate() is None and a.num_free == 0


def test_no_room_takes_nothing():
    a = BlockAllocator(3, 2)
    a.allocate(1)
    assert a.allocate(3) is None
    assert a.num_free == 2 and a.allocate(2) == [1, 2]
    assert a.allocate(0) == []


def test_a_block_is_free_when_its_last_holder_lets_go():
    a = BlockAllocator(2, 2)
    [b] = a.allocate()
    a.fork([b])
    a.free([b])
    assert a.ref_count(b) == 1 and a.num_free == 1
    a.free([b])
    assert a.ref_count(b) == 0 and a.num_free == 2


def test_a_block_freed_twice_is_refused_and_nothing_is_taken_back():
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
def test_sizes_that_hold_nothing_are_refused(wrong):
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
    ids=["twice free", "lost", "free and held", "unheld, lost", "unheld, not free"],
)
def test_check_integrity_names_what_is_broken(break_it, says):
    a = BlockAllocator(4, 2)
    a.allocate(2)
    a.check_integrity()
    break_it(a)
    with pytest.raises(IntegrityError, match=says):
        a.check_integrity()


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
def test_fork_then_write_by_either_side_copies_the_shared_last_block_once(writer):
    a = BlockAllocator(8, 4)
    parent = BlockTable(a)
    parent.append_slots(6)
    child = parent.fork()
    assert [a.ref_count(b) for b in (0, 1)] == [2, 2] and a.num_free == 6
    one, other = (parent, child) if writer == "parent" else (child, parent)
    assert one.append_slots(1) == [2 * 4 + 2]
    assert one.block_ids == [0, 2] and other.block_ids == [0, 1]
    assert a.copies == [(1, 2)] and [a.ref_count(b) for b in (0, 1, 2)] == [2, 1, 1]
    assert other.append_slots(1) == [1 * 4 + 2] and a.copies == [(1, 2)]  # alone now: it writes in place


def test_a_full_last_block_is_shared_for_good():
    a = BlockAllocator(8, 4)
    parent = BlockTable(a)
    parent.append_slots(4)
    child = parent.fork()
    assert child.append_slots(1) == [4] and parent.append_slots(1) == [8] and a.copies == []


def test_an_append_that_finds_no_room_changes_nothing_not_even_the_shared_block():
    a = BlockAllocator(3, 4)
    parent = BlockTable(a)
    parent.append_slots(6)
    child = parent.fork()
    assert child.append_slots(3) is None  # a copy and one block more: two, and one is free
    assert child.block_ids == [0, 1] and child.num_tokens == 6 and a.copies == [] and a.num_free == 1
    assert child.append_slots(2) == [2 * 4 + 2, 2 * 4 + 3]


def test_shrink_gives_whole_blocks_back_and_at_zero_the_table_lives_on():
    a = BlockAllocator(4, 4)
    t = BlockTable(a)
    t.append_slots(11)
    t.shrink(5)
    assert t.block_ids == [0, 1] and t.num_tokens == 5 and a.num_free == 2
    t.shrink(0)
    assert t.block_ids == [] and t.num_tokens == 0 and a.num_free == 4
    assert t.append_slots(1) == [3 * 4]  # oldest free first: 3 never was used
    with pytest.raises(LedgerError, match="cannot shrink to 2.*append_slots"):
        t.shrink(2)
    with pytest.raises(ParameterError, match="num_tokens is -1"):
        t.shrink(-1)


def test_a_table_gives_its_last_block_back_first():
    a = BlockAllocator(3, 2)
    t = BlockTable(a)
    t.append_slots(6)
    t.free()
    assert a.allocate(3) == [2, 1, 0]


def test_a_table_freed_twice_is_refused_and_so_is_anything_else_after_free():
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
    """What a learner writes in lesson 04, before anything is shared, with nothing else on it."""

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


def test_a_table_works_on_an_allocator_with_nothing_but_its_methods():
    t = BlockTable(SmallestAllocator(3, 2))
    assert t.append_slots(3) == [0, 1, 2] and t.append_slots(9) is None and t.num_tokens == 3
    t.free()
    assert t.allocator.num_free == 3 and t.allocator.copies == []


class Tables(RuleBasedStateMachine):
    """Tables over one small memory. The model is a list of tokens for each table, and memory into which they are written."""

    operations = 0

    @initialize(num_blocks=st.integers(1, 9), block_size=st.integers(1, 4))
    def begin(self, num_blocks, block_size):
        self.a = BlockAllocator(num_blocks, block_size)
        self.texts, self.memory, self.written = {}, {}, 0

    def pick(self, data):
        return data.draw(st.sampled_from(list(self.texts)))

    @rule()
    def open(self):
        self.texts[BlockTable(self.a)] = []

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), n=st.integers(0, 9))
    def append(self, data, n):
        table, size = self.pick(data), self.a.block_size
        text, blocks = self.texts[table], table.block_ids[:]
        copy = n > 0 and len(text) % size > 0 and sum(blocks[-1] in t.block_ids for t in self.texts) > 1
        needed = -(-(len(text) + n) // size) - len(blocks) + copy
        free = self.a.num_blocks - len({b for t in self.texts for b in t.block_ids})
        slots = table.append_slots(n)
        assert (slots is None) == (needed > free)
        assert len(self.a.copies) == (copy and slots is not None)
        for source, destination in self.a.copies:
            for i in range(size):
                self.memory[destination * size + i] = self.memory.get(source * size + i)
        self.a.copies.clear()
        for slot in slots or []:
            self.memory[slot] = self.written
            text.append(self.written)
            self.written += 1

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def fork(self, data):
        table = self.pick(data)
        self.texts[table.fork()] = self.texts[table][:]

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def shrink(self, data):
        table = self.pick(data)
        n = data.draw(st.integers(0, len(self.texts[table])))
        table.shrink(n)
        del self.texts[table][n:]

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def free(self, data):
        table = self.pick(data)
        table.free()
        del self.texts[table]

    @invariant()
    def every_table_reads_its_own_text(self):
        if not hasattr(self, "a"):
            return
        type(self).operations += 1
        self.a.check_integrity()
        for table, text in self.texts.items():
            assert table.num_tokens == len(text)
            assert [self.memory[table.slot(p)] for p in range(len(text))] == text
        for b in range(self.a.num_blocks):
            assert self.a.ref_count(b) == sum(b in t.block_ids for t in self.texts)


def test_tables_against_memory_that_is_really_written():
    run_state_machine_as_test(
        Tables,
        settings=settings(
            max_examples=520,
            stateful_step_count=60,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Tables.operations >= 20_000
