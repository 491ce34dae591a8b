"""The memory view: its states against the ledger that wrote the trace, its words, and what it refuses."""

import json
import random
from types import SimpleNamespace

import pytest
from traces import Plain, large_memory, request, story

from course_lib.errors import CourseError
from course_lib.kvcache import BlockAllocator, BlockTable, KVCacheManager
from course_lib.kvcache.windowed import WindowedManager
from course_lib.trace.records import Trace
from course_lib.viz import memory_view


@pytest.fixture
def told():
    return memory_view(story())


@pytest.fixture(scope="module")
def big():
    return memory_view(large_memory())


def test_the_story_in_words(told):
    assert [told.words(step) for step in range(1, told.last + 1)] == [
        "R0 writes 10 tokens in blocks 0, 1, 2. Blocks 0, 1 are full and computed: they are hashed, so that "
        "other requests can find them.",
        "R1 hits the prefix cache: blocks 0, 1 are reused, 8 tokens need no computing. R1 writes one token "
        "into block 3, slot 0 (new).",
        "R2 is forked from R0 and shares its blocks 0, 1, 2.",
        "R2 writes into a shared block. Block 2 belongs to R0 too, so R2 gets a copy: block 4. Reference count "
        "of 2: 2 → 1. R2 writes one token into block 4, slot 2.",
        "R0 ends. Block 2 is free; blocks 0, 1 are still in use.",
        "Out of memory. 9 blocks are wanted, 8 can be had. Nothing is taken.",
        "R1 ends. Block 3 is free; blocks 0, 1 are still in use. R2 ends. Block 4 is free; blocks 0, 1 stay cached.",
        told.words(8),
    ]
    assert told.words(8).startswith("Block 1 is evicted from the cache, to make room. R4 writes 44 tokens in blocks ")


def test_the_table_at_a_moment(told):
    assert told.table(4) == [
        {"request": "R0", "tokens": 10, "blocks": 3, "block table": "0, 1, 2"},
        {"request": "R1", "tokens": 9, "blocks": 3, "block table": "0, 1, 3"},
        {"request": "R2", "tokens": 11, "blocks": 3, "block table": "0, 1, 4"},
        {"request": "shared", "tokens": "", "blocks": 2, "block table": "0, 1"},
        {"request": "cached", "tokens": "", "blocks": 0, "block table": ""},
        {"request": "free", "tokens": "", "blocks": 7, "block table": "5, 6, 7, 8, 9, 10, 11"},
    ]
    assert told.data["sums"][3] == [5, 0, 2 + 3 + 1]


@pytest.mark.parametrize("seed, window", [(0, None), (1, None), (2, None), (3, None), (4, 6), (5, 1)])
def test_the_replay_is_where_the_ledger_was(seed, window):
    """After every step: reference counts, tables, free blocks, all as the ledger itself had them."""
    draw, trace = random.Random(seed), Trace()
    allocator, live, truth, names = BlockAllocator(20, 4, trace=trace), {}, [], iter(range(10**4))
    manager = WindowedManager(allocator, window, 3, most_tokens=20) if window else KVCacheManager(allocator)
    while len(truth) < 150:
        trace.next_step()
        before = len(trace)
        if len(live) < 4 and draw.random() < 0.5:
            r = request(next(names), draw.randrange(1, 20), base=draw.choice([0, 0, 50]))
            if manager.allocate_slots(r, len(r.token_ids) - manager.match_prefix(r)) is not None:
                manager.commit(r, len(r.token_ids))
                live[r.request_id] = r
        if live and draw.random() < 0.2:
            parent = draw.choice(list(live.values()))
            child = SimpleNamespace(request_id=next(names), token_ids=parent.token_ids[:])
            manager.fork(parent, child)
            live[child.request_id] = child
        for r in list(live.values()):
            r.token_ids.append(draw.randrange(9))
            if manager.allocate_slots(r, 1) is None or draw.random() < 0.05:
                manager.free(r)
                del live[r.request_id]
            else:
                manager.commit(r, manager.table(r).num_tokens)
        if len(trace) > before:
            counts = [manager.allocator.ref_count(block) for block in range(20)]
            tables = {name: manager.table(r).block_ids[:] for name, r in live.items()}
            truth.append((counts, tables, manager.allocator.num_free))
    view = memory_view(trace)
    assert view.last == len(truth)
    for step, (counts, tables, free) in enumerate(truth, 1):
        memory = view.memory(step)
        assert memory.ref == counts and {name: blocks for name, (blocks, _) in memory.tables.items()} == tables
        used, cached, wasted = view.data["sums"][step - 1]
        assert (used, 20 - used) == (sum(count > 0 for count in counts), free)
        assert cached == sum(counts[block] == 0 for block in memory.hashed)
        filled = {}
        for blocks, tokens in memory.tables.values():
            for place, block in enumerate(blocks):
                if block < 0:
                    continue
                filled[block] = max(filled.get(block, 0), min(4, tokens - 4 * place))
        assert wasted == sum(4 - number for number in filled.values())
    said = [view.words(step) for step in range(1, view.last + 1)]
    assert not any("reference count is" in words for words in said)
    assert any("moves on" in words for words in said) == (window is not None)


def test_what_an_engine_decided_is_passed_over():
    trace = story()
    rows = trace.rows()
    decided = [rows[0], [rows[0][0], "engine", "fcfs", 8, 256], *rows[1:], [rows[-1][0], "finish", "R0", "stop"]]
    assert memory_view(decided).data == memory_view(rows).data


def test_one_event_at_a_time():
    view = memory_view(story(), by="event")
    assert [view.words(step) for step in range(1, 10)] == [
        "R0 writes 10 tokens in blocks 0, 1, 2.",
        "Block 0 is full and computed: it is hashed, so that other requests can find it.",
        "Block 1 is full and computed: it is hashed, so that other requests can find it.",
        "R1 hits the prefix cache: blocks 0, 1 are reused, 8 tokens need no computing.",
        "R1 writes one token into block 3, slot 0 (new).",
        "R2 is forked from R0 and shares its blocks 0, 1, 2.",
        "R2 writes into a shared block. Block 2 belongs to R0 too, so R2 gets a copy: block 4. Reference count "
        "of 2: 2 → 1.",
        "R2 writes one token into block 4, slot 2.",
        "R0 ends. Block 2 is free; blocks 0, 1 are still in use.",
    ]


def test_a_learners_allocator_without_tables():
    trace = Trace()
    mine = trace.watch(Plain(4, 8))
    blocks = mine.allocate(2)
    mine.fork(blocks[:1])
    mine.free(blocks)
    mine.allocate(9)
    view = memory_view(trace)
    assert [view.words(step) for step in range(1, view.last + 1)] == [
        "Blocks 0, 1 are allocated.", "Block 0 gets one reference more.", "Block 1 is free; block 0 is still in use.",
        "Out of memory. 9 blocks are wanted, 3 can be had. Nothing is taken."]  # fmt: skip
    assert view.snapshot(2).data


def test_an_allocator_that_allocates_a_block_twice_is_shown():
    trace = Trace()
    mine = trace.watch(Plain(6, 4, again=True))
    first, second = BlockTable(mine, name="a"), BlockTable(mine, name="b")
    first.append_slots(3)
    second.append_slots(2)
    mine.free([0, 0, 0])
    view = memory_view(trace)
    assert "Block 0 was allocated while it was in use." not in view.words(1)
    assert "Block 0 was allocated while it was in use." in view.words(2)
    assert view.words(3) == "Block 0 is free. Block 0 was freed once too often."
    assert view.memory(view.last).ref[0] == -1 and view.snapshot(view.last).data


@pytest.mark.parametrize(
    "rows, says",
    [
        ([], "A trace begins with the record `start`"),
        ([[0, "allocate", [1]]], "A trace begins with the record `start`"),
        ([[0, "start", 4, 0]], "block_size = 0"),
        ([[0, "start", 4, 2], [0, "grow", 3]], "record 1 is .*grow.*not a record of a trace"),
        ([[0, "start", 4, 2], [0, "append", "a", 1]], "record 1 is"),
        ([[0, "start", 4, 2], [0, "allocate", [4]]], "record 1 names block 4, but there are blocks 0 to 3"),
        (
            [[0, "start", 4, 2], [1, "allocate", [1]], [0, "free", [1]]],
            "record 2 belongs to step 0, the one before it to step 1",
        ),
        ([[0, "start", 4, 2], [0, "end", "a"]], "record 1 is about request 'a', which has no table"),
        ([[0, "start", 4, 2], [0, "start", 4, 2]], "starts a second memory"),
    ],
)
def test_it_refuses(rows, says):
    with pytest.raises(CourseError, match=says):
        memory_view(rows)


def test_records_rows_and_files_are_all_taken(tmp_path):
    trace = story()
    trace.save(tmp_path / "trace.jsonl")
    views = [memory_view(given) for given in (trace, trace.records, trace.rows(), Trace.load(tmp_path / "trace.jsonl"))]
    assert all(view.data == views[0].data for view in views)
    with pytest.raises(CourseError, match="by is 'day'"):
        memory_view(trace, by="day")


def test_selected_is_a_block(told):
    told.selected = 11
    for nowhere in (12, -1, "2", True):
        with pytest.raises(CourseError, match="is no block; there are blocks 0 to 11"):
            told.selected = nowhere


def test_still_form(told, big):
    picture = told.snapshot(step=4)
    assert (
        picture.data[:4] == b"\x89PNG"
        and picture.width in (919, 920)
        and 350 < picture.height < 750
        and len(picture.data) < 80_000
    )
    assert told.words(4) in picture.alt
    picture = big.snapshot(900)
    assert picture.height < 760 and len(picture.data) < 110_000
    assert repr(told) == "<memory view: 12 blocks of 4 tokens, step 1 of 8>"


def test_a_thousand_steps_of_4096_blocks_stay_under_two_megabytes(big):
    assert len(json.dumps(big.data, separators=(",", ":"), ensure_ascii=False).encode()) <= 2_000_000
    assert big.last == 1000
