"""Lesson 04: what its checks notice besides returned values."""

import pytest
from written_allocator import Plain
from written_block_table import Plain as PlainTable

from course_lib.kvcache import BlockAllocator
from course_lib.practice.check import judge
from course_lib.practice.fixtures.seeded_ledgers import FAULTS, seeded_ledger
from course_lib.practice.judge import registry
from course_lib.practice.lessons.l04.allocation_cost import LARGE, OPERATIONS, SMALL, allocation_cost
from course_lib.practice.lessons.l04.allocator_answers import (
    ChainOfBlocks,
    ListFromTheFront,
    LowestFirst,
    StackOfBlocks,
)
from course_lib.practice.lessons.l04.allocator_damage import KINDS, complains, damaged
from course_lib.practice.lessons.l04.find_the_leak import find_at_random, find_the_leak


class CountsTheFree(Plain):
    num_free = property(lambda self: sum(count == 0 for count in self.refs.values()))


@pytest.mark.parametrize("slow", [ListFromTheFront, CountsTheFree])
def test_a_right_but_slow_allocator_gets_the_reason(slow):
    failure = judge(registry.find("04.allocator"), slow).failure
    assert failure.prop.title.startswith("Each operation costs the same")
    assert failure.mistake.name.startswith("a call costs more")


@pytest.mark.parametrize(
    "exercise, right",
    [("04.allocator", Plain), ("04.allocator", BlockAllocator), ("04.block_table", PlainTable)],
    ids=str,
)
def test_other_right_classes_pass(exercise, right):
    result = judge(registry.find(exercise), right)
    assert result, str(result)


def test_a_double_free_is_shown_in_three_calls():
    class Careless(Plain):
        def free(self, block_ids):
            for b in block_ids:
                self.refs[b] = max(0, self.refs[b] - 1)
                if self.refs[b] == 0:
                    self.free_blocks.append(b)

    found = judge(registry.find("04.allocator"), Careless).failure.counterexample
    assert found.story[0] == "allocator = BlockAllocator(num_blocks=1, block_size=1)" and len(found.story) <= 4, (
        found.story
    )
    assert (found.expected, found.got) == ("LedgerError", "no error")


@pytest.mark.parametrize("kind", [BlockAllocator, Plain, StackOfBlocks, ChainOfBlocks, LowestFirst], ids=str)
def test_every_damaged_copy_is_noticed_and_the_allocator_itself_is_not_changed(kind):
    allocator = kind(6, 4)
    allocator.free(allocator.allocate(3)[:1])
    for what in KINDS:
        copies = list(damaged(allocator, what))
        assert copies or kind is ChainOfBlocks and what == KINDS[0]
        assert {complains(other) for _, other in copies} <= {"IntegrityError"}
    assert complains(allocator) == "no error" and allocator.num_free == 4


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", [BlockAllocator, Plain, StackOfBlocks, ChainOfBlocks, LowestFirst], ids=str)
def test_operations_of_right_allocators_take_as_many_steps_in_a_large_memory(kind, operation):
    assert allocation_cost(kind, LARGE, operation) < 2 * allocation_cost(kind, SMALL, operation)


@pytest.mark.parametrize("late", [1, 2, 3])
@pytest.mark.parametrize("fault", FAULTS, ids=" ".join)
def test_each_seeded_fault_is_there_from_its_call_on(fault, late):
    assert find_the_leak(seeded_ledger(fault, late)) == fault
    assert tuple(find_at_random(seeded_ledger(fault, late))) == fault
    assert find_the_leak(seeded_ledger(fault, 99)) is None
