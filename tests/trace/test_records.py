"""A trace says everything: played back by its own words alone, it gives the state of the memory that wrote it."""

import json
import subprocess
import sys

import pytest
from random_life import random_life

from course_lib.errors import LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator, BlockTable, KVCacheManager
from course_lib.trace.records import FIELDS, MEMORY_FIELDS, Trace


class Replay:
    """What a view does: reference counts from the block events, tables from the table events, nothing else."""

    def __init__(self, rows):
        self.tables, self.texts, self.copies = {}, {}, 0
        for _, event, *values in rows:
            getattr(self, event)(**dict(zip(FIELDS[event], values)))

    def start(self, num_blocks, block_size):
        self.size, self.refs, self.hashed = block_size, [0] * num_blocks, set()

    def allocate(self, blocks):
        for b in blocks:
            assert self.refs[b] == 0 and b not in self.hashed
            self.refs[b] = 1

    def share(self, blocks):
        for b in blocks:
            assert self.refs[b] > 0 or b in self.hashed
            self.refs[b] += 1

    def free(self, blocks):
        for b in blocks:
            self.refs[b] -= 1
            assert self.refs[b] >= 0

    def cache(self, block, parent):
        assert block not in self.hashed and (parent is None or parent in self.hashed)
        self.hashed.add(block)

    def evict(self, blocks):
        for b in blocks:
            assert self.refs[b] == 0
            self.hashed.remove(b)

    def out_of_memory(self, wanted, free):
        assert wanted > free

    def append(self, request, count=1, blocks=()):
        held, tokens = self.tables.get(request, ([], 0))
        self.tables[request] = (held + list(blocks), tokens + count)

    def hit(self, request, blocks):
        assert request not in self.tables
        self.tables[request] = (blocks, len(blocks) * self.size)

    def fork(self, request, parent):
        self.tables[request] = self.tables[parent]

    def copy(self, request, source, destination):
        held, tokens = self.tables[request]
        assert held[-1] == source
        self.tables[request], self.copies = (held[:-1] + [destination], tokens), self.copies + 1

    def slide(self, request, places):
        held, tokens = self.tables[request]
        assert all(held[place] >= 0 for place in places)
        self.tables[request] = [-1 if place in places else b for place, b in enumerate(held)], tokens

    def shrink(self, request, num_tokens):
        held, _ = self.tables[request]
        self.tables[request] = (held[: -(-num_tokens // self.size)], num_tokens)

    def end(self, request):
        del self.tables[request]

    def text(self, request, text):
        self.texts[request] = text


@pytest.mark.parametrize("eviction, has_window", [("lru", False), ("priority", False), ("lru", True)])
@pytest.mark.parametrize("seed", range(20))
def test_a_trace_replayed_is_the_memory_that_wrote_it(seed, eviction, has_window, tmp_path):
    trace, seen = Trace(), dict(window=1 + seed, sinks=seed % 4) if has_window else {}
    manager, running, copies = random_life(
        60, num_blocks=11 + seed, size=1 + seed % 5, eviction=eviction, seed=seed, trace=trace, **seen
    )
    manager.check_integrity()
    trace.save(tmp_path / "trace.jsonl")
    assert Trace.load(tmp_path / "trace.jsonl").records == trace.records
    seen = Replay(trace.rows())
    assert seen.refs == [manager.allocator.ref_count(b) for b in range(manager.allocator.num_blocks)]
    assert seen.hashed == {b for b in range(manager.allocator.num_blocks) if b in manager.cache}
    assert seen.tables == {r.request_id: (manager.table(r).block_ids, manager.table(r).num_tokens) for r in running}
    assert seen.copies == copies and all(text[0].startswith(" t") for text in seen.texts.values())


def test_the_random_lives_show_every_event():
    seen = set()
    for seed in range(20):
        trace = Trace()
        random_life(60, num_blocks=11 + seed, size=1 + seed % 5, seed=seed, trace=trace, window=8 if seed % 2 else None)
        seen |= {record["event"] for record in trace.records}
    assert seen == set(MEMORY_FIELDS) - {"shrink"}


def test_records_say_what_happened_in_order():
    trace = Trace()
    a = BlockAllocator(4, 2, trace=trace)
    t = BlockTable(a, name="t")
    t.append_slots(3)
    trace.next_step()
    u = t.fork(name="u")
    u.append_slots(1)
    u.append_slots(99)
    trace.next_step()
    t.shrink(1)
    u.free()
    assert trace.rows() == [
        [0, "start", 4, 2],
        [0, "allocate", [0, 1]],
        [0, "append", "t", 3, [0, 1]],
        [1, "share", [0, 1]],
        [1, "fork", "u", "t"],
        [1, "free", [1]],
        [1, "allocate", [2]],
        [1, "copy", "u", 1, 2],
        [1, "append", "u"],
        [1, "out_of_memory", 50, 1],
        [2, "free", [1]],
        [2, "shrink", "t", 1],
        [2, "free", [2, 0]],
        [2, "end", "u"],
    ]
    assert trace.records[2] == {"step": 0, "event": "append", "request": "t", "count": 3, "blocks": [0, 1]}


def test_records_do_not_change_afterwards():
    trace = Trace()
    t = BlockTable(BlockAllocator(8, 2, trace=trace), name="t")
    mine = t.append_slots(4)
    before = json.dumps(trace.rows())
    mine.clear()
    t.block_ids.reverse()
    t.allocator.fork(blocks := [0])
    blocks.append(1)
    assert json.dumps(trace.rows()[:-1]) == before and trace.rows()[-1] == [0, "share", [0]]


def test_a_thousand_steps_of_4096_blocks_take_at_most_two_megabytes(tmp_path):
    trace = Trace()
    manager, running, _ = random_life(1000, num_blocks=4096, size=16, requests=40, ends=0.01, trace=trace)
    for r in running:
        trace.text(r.request_id, [f" t{t}" for t in r.token_ids])
    trace.save(tmp_path / "trace.jsonl")
    assert trace.step == 1000 and max(max(r["blocks"]) for r in trace.records if r["event"] == "allocate") == 4095
    assert (tmp_path / "trace.jsonl").stat().st_size <= 2_000_000


class Faulty:
    """A learner's allocator: free is forgotten for all but the first block, and the last block is never used."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size, self.free_ids = num_blocks, block_size, list(range(num_blocks))

    @property
    def num_free(self):
        return len(self.free_ids)

    def allocate(self, n=1):
        if n > len(self.free_ids) - 1:
            return None
        return [self.free_ids.pop() for _ in range(n)]

    def fork(self, block_ids):
        pass

    def free(self, block_ids):
        self.free_ids += block_ids[:1]

    def ref_count(self, block_id):
        return int(block_id not in self.free_ids)

    def check_integrity(self):
        return "mine"


def test_a_learners_allocator_is_recorded_with_its_mistakes():
    trace = Trace()
    a = trace.watch(Faulty(4, 2))
    t = BlockTable(a, name="mine")
    assert t.append_slots(5) == [6, 7, 4, 5, 2] and t.append_slots(2) is None
    a.fork([3])
    a.free([3])
    t.free()
    assert trace.rows() == [
        [0, "start", 4, 2],
        [0, "allocate", [3, 2, 1]],
        [0, "append", "mine", 5, [3, 2, 1]],
        [0, "out_of_memory", 1, 1],
        [0, "share", [3]],
        [0, "free", [3]],
        [0, "free", [1, 2, 3]],
        [0, "end", "mine"],
    ]
    assert (a.num_free, a.check_integrity(), a.ref_count(0)) == (3, "mine", 0)
    with pytest.raises(LedgerError, match="1 blocks are in use already"):
        trace.watch(a)


def test_watching_the_course_s_own_allocator_gives_the_same_trace_as_its_own_recording():
    own, watched = Trace(), Trace()
    for a in (BlockAllocator(6, 2, trace=own), watched.watch(BlockAllocator(6, 2))):
        t = BlockTable(a, name="t")
        t.append_slots(3)
        u = t.fork(name="u")
        u.append_slots(2)
        t.append_slots(20)
        t.free(), u.free()
        a.check_integrity()
    assert own.rows() == watched.rows()
    with pytest.raises(ParameterError, match="no place for cached blocks"):
        KVCacheManager(Trace().watch(BlockAllocator(6, 2)))


def test_what_is_no_record_is_refused(tmp_path):
    trace = Trace()
    for event, fields in [("allocate", {}), ("alocate", {"blocks": [1]}), ("free", {"blocks": [1], "request": 1})]:
        with pytest.raises(ParameterError, match="it needs blocks|no such event"):
            trace.add(event, **fields)
    assert len(trace) == 0
    path = tmp_path / "trace.jsonl"
    for line in ('[0,"start",4', "{}", '[0,"start",4]', '["0","end",1]', '[0,"nothing"]', "[0,[],1]", "7"):
        path.write_text('[0,"start",4,2]\n' + line + "\n")
        with pytest.raises(ParameterError, match="line 2 is .*not a record"):
            Trace.load(path)


def test_names_and_text_of_any_script_come_back(tmp_path):
    trace = Trace()
    trace.text("Füchsin\u2028\n", ["\u2028", "\x85", "🦊", "\ud7ff", "\n"])
    trace.save(tmp_path / "t.jsonl")
    assert Trace.load(tmp_path / "t.jsonl").records == trace.records


def test_the_ledger_does_not_wait_for_torch():
    code = (
        "import sys\nfrom course_lib.kvcache import BlockAllocator, BlockTable, KVCacheManager, PrefixCache\n"
        "from course_lib.trace.records import Trace\nprint([m for m in ('torch', 'numpy', 'IPython') if m in "
        "sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
