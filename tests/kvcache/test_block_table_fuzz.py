"""Block tables in random programs, compared with memory that is really written."""

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

from course_lib.kvcache import BlockAllocator, BlockTable


class Tables(RuleBasedStateMachine):
    """Tables over one small memory. The model: the tokens of each table, and the memory that they are written to."""

    operations = 0

    @initialize(num_blocks=st.integers(1, 9), block_size=st.integers(1, 4))
    def begin(self, num_blocks, block_size):
        self.a = BlockAllocator(num_blocks, block_size)
        self.tokens, self.memory, self.written = {}, {}, 0

    def pick(self, data):
        return data.draw(st.sampled_from(list(self.tokens)))

    @rule()
    def open(self):
        self.tokens[BlockTable(self.a)] = []

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), n=st.integers(0, 9))
    def append(self, data, n):
        table, size = self.pick(data), self.a.block_size
        tokens, blocks = self.tokens[table], table.block_ids[:]
        copy = n > 0 and len(tokens) % size > 0 and sum(blocks[-1] in t.block_ids for t in self.tokens) > 1
        needed = -(-(len(tokens) + n) // size) - len(blocks) + copy
        free = self.a.num_blocks - len({b for t in self.tokens for b in t.block_ids})
        slots = table.append_slots(n)
        assert (slots is None) == (needed > free)
        assert len(self.a.copies) == (copy and slots is not None)
        for source, destination in self.a.copies:
            for i in range(size):
                self.memory[destination * size + i] = self.memory.get(source * size + i)
        self.a.copies.clear()
        for slot in slots or []:
            self.memory[slot] = self.written
            tokens.append(self.written)
            self.written += 1

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def fork(self, data):
        table = self.pick(data)
        self.tokens[table.fork()] = self.tokens[table][:]

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def shrink(self, data):
        table = self.pick(data)
        n = data.draw(st.integers(0, len(self.tokens[table])))
        table.shrink(n)
        del self.tokens[table][n:]

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def free(self, data):
        table = self.pick(data)
        table.free()
        del self.tokens[table]

    @invariant()
    def every_table_reads_its_own_tokens(self):
        if not hasattr(self, "a"):
            return
        type(self).operations += 1
        self.a.check_integrity()
        for table, tokens in self.tokens.items():
            assert table.num_tokens == len(tokens)
            assert [self.memory[table.slot(p)] for p in range(len(tokens))] == tokens
        for b in range(self.a.num_blocks):
            assert self.a.ref_count(b) == sum(b in t.block_ids for t in self.tokens)


def test_random_programs_read_what_they_wrote():
    run_state_machine_as_test(
        Tables,
        settings=settings(
            max_examples=540,
            stateful_step_count=60,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Tables.operations >= 20_000
