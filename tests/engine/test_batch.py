"""The arrays of a step against the requests and block tables that they come from, over random days of a scheduler."""

import random

import numpy as np
import pytest
import torch

from course_lib.decoding import SamplingParams
from course_lib.engine import EngineConfig, Request, Scheduler
from course_lib.engine.batch import SAMPLING, SequenceRows
from course_lib.engine.gpu import most_few_rows
from course_lib.engine.graphs import COLUMNS, batch_sizes, columns, num_bytes
from course_lib.engine.step import ScheduledSequence, Step
from course_lib.kvcache import BlockAllocator, KVCacheManager
from course_lib.models import ModelConfig


def a_day(seed, ahead):
    """Yields (scheduler, requests, step) of a random day. ahead: so many steps are scheduled before an update."""
    draw = random.Random(seed)
    size, num_blocks = draw.choice([1, 3, 4]), draw.randrange(11, 18)
    config = EngineConfig(
        block_size=size, num_blocks=num_blocks, max_num_seqs=draw.choice([2, 5]),
        max_num_batched_tokens=draw.choice([4, 9, 40]),
        preemption=draw.choice(["recompute", "swap"]), watermark=0.0,
    )  # fmt: skip
    scheduler = Scheduler(config, KVCacheManager(BlockAllocator(num_blocks, size)))
    requests, flying = {}, []
    for now in range(60):
        if now < 40 and draw.random() < 0.5:
            n = draw.choice([1, 1, 2])
            params = SamplingParams(
                max_tokens=draw.randrange(1, 6), n=n, temperature=draw.choice([0.0, 0.7]), top_k=draw.choice([None, 3])
            )
            name = str(now)
            requests[name] = Request(
                name, [draw.randrange(50) for _ in range(draw.randrange(1, 6))], params, arrival=now, seed=now
            )
            scheduler.add(requests[name])
        if scheduler.has_unfinished():
            step = scheduler.schedule()
            yield scheduler, requests, step
            flying.append(step)
        while flying and (len(flying) > ahead or not scheduler.has_unfinished() or not step.scheduled):
            done = flying.pop(0)
            tokens = {name: [draw.randrange(50)] for s in done.scheduled for name in names(s)}
            for request, _ in scheduler.update(done, tokens):
                requests[request.request_id] = request
                if request.finish_reason:
                    scheduler.finish(request, request.finish_reason)
                    yield scheduler, requests, request


def names(sequence):
    return [sequence.request_id, *(f"{sequence.request_id}.{i}" for i in range(1, sequence.num_choices))][
        : sequence.num_choices
    ]


@pytest.mark.parametrize("ahead", [0, 1])
def test_the_arrays_say_what_requests_and_block_tables_say(ahead):
    seen = {"steps": 0, "mixed": 0, "pending": 0, "forks": 0, "preempted": 0}
    for seed in range(60):
        rows = None
        for scheduler, requests, step in a_day(seed, ahead):
            rows = rows or SequenceRows(scheduler.config.max_num_seqs, 40, scheduler.block_size)
            if isinstance(step, Request):
                rows.forget(step.request_id)
                continue
            seen["preempted"] += len(step.preempted)
            arrays = rows.take(step)
            if arrays is None:
                continue
            check(rows, scheduler, requests, step, arrays, seen)
        assert len(rows.row_of) + len(rows._free) == len(rows.tables)
    assert seen["steps"] > 500 and seen["mixed"] > 100 and seen["forks"] > 20 and seen["preempted"] > 20
    assert (seen["pending"] > 200) == (ahead == 1)


def check(rows, scheduler, requests, step, arrays, seen):
    seen["steps"] += 1
    seen["mixed"] += not arrays.is_decode
    start, choice = 0, 0
    for i, sequence in enumerate(step.scheduled):
        request = requests[sequence.request_id]
        table, end = scheduler.manager.table(request), start + sequence.num_tokens
        assert (arrays.cu_seqlens[i], arrays.cu_seqlens[i + 1]) == (start, end)
        positions = list(range(sequence.start, sequence.start + sequence.num_tokens))
        known = request.token_ids[sequence.start : sequence.start + sequence.num_tokens]
        assert arrays.token_ids[start:end].tolist() == (known or [-1])
        seen["pending"] += not known
        assert arrays.positions[start:end].tolist() == positions
        assert arrays.slots[start:end].tolist() == [table.slot(p) for p in positions]
        assert arrays.seq_lens[i] == table.num_tokens == positions[-1] + 1
        width = arrays.block_tables.shape[1]
        assert arrays.block_tables[i].tolist() == table.block_ids + [-1] * (width - len(table.block_ids))
        row = rows.row_of[sequence.request_id]
        assert (arrays.token_rows[start:end] == row).all()
        assert [rows.sampling[name][row] for name in SAMPLING] == pytest.approx(
            [request.params.temperature, request.params.top_k or 0, 1.0, 0.0, request.seed]
        )
        for index in range(sequence.num_choices):
            assert (arrays.logits_rows[choice], arrays.choice_rows[choice]) == (end - 1, row)
            assert (arrays.choice_positions[choice], arrays.seed_offsets[choice]) == (positions[-1] + 1, index)
            assert arrays.names[choice] == names(sequence)[index]
            choice += 1
        seen["forks"] += sequence.num_choices > 1
        start = end
    assert (
        len(arrays.token_ids) == start
        and len(arrays.names) == choice
        and arrays.is_decode == (start == len(step.scheduled))
    )


def test_more_sequences_than_rows_get_more_rows():
    """A learner's scheduler may run more than max_num_seqs."""
    rows = SequenceRows(1, 4, 2)
    for name in "abc":
        rows._begin(FakeSequence(name))
    assert len(rows.tables) == 4 and len(set(rows.row_of.values())) == 3
    rows.forget("b")
    rows.forget("never seen")
    rows._begin(FakeSequence("d"))
    assert len(rows.tables) == 4 and (rows.tables[rows.row_of["d"]] == -1).all()


class FakeSequence:
    def __init__(self, name):
        self.request_id, self.sampling = name, (SamplingParams(), 7)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8, 9, 64, 256, 257, 300])
def test_every_batch_finds_a_captured_size_that_is_not_much_larger(most):
    sizes = batch_sizes(most)
    assert sizes == sorted(set(sizes)) and sizes[-1] == most and sizes[0] == 1
    for count in range(1, most + 1):
        size = next(size for size in sizes if size >= count)
        assert size - count < 8 or count > 256 and size - count < 32
    assert np.diff(sizes).max(initial=1) <= 32


def test_as_many_choices_as_sequences_are_no_plain_decode_where_one_has_two_and_one_has_none():
    """The last token of a prompt that two sequences share, beside a token in the middle of another prompt."""
    rows, sampling = SequenceRows(4, 4, 2), (SamplingParams(), 7)

    def arrays(*choices):
        step = Step(9)
        for i, num_choices in enumerate(choices):
            step.scheduled.append(ScheduledSequence(str(i), 1, 1, [5], num_choices, 0, [i], sampling))
        return rows.take(step)

    assert arrays(1, 1).is_plain_decode and arrays(1).is_plain_decode
    assert not arrays(2, 0).is_plain_decode and not arrays(1, 0).is_plain_decode and not arrays(0, 2).is_plain_decode


@pytest.mark.parametrize("size", [1, 3, 4, 24, 256])
def test_the_columns_of_a_captured_step_lie_in_one_piece_and_do_not_touch(size):
    buffer = torch.zeros(num_bytes(256), dtype=torch.uint8)
    found = columns(buffer, size)
    for i, column in enumerate(found.values()):
        assert len(column) == size and column.data_ptr() % 16 == buffer.data_ptr() % 16
        assert not column.any()
        column.fill_(i + 1)
    assert [column.tolist() for column in found.values()] == [[i + 1] * size for i in range(len(COLUMNS))]
    assert not buffer[num_bytes(size) :].any()


@pytest.mark.parametrize(
    "hidden, intermediate, rows", [(1024, 3072, 4), (2048, 8192, 2), (4096, 14_336, 1), (64, 128, 4)]
)
def test_the_larger_the_weights_the_fewer_rows_are_few(hidden, intermediate, rows):
    shape = dict(hidden_size=hidden, intermediate_size=intermediate, head_dim=16, context=8)
    assert most_few_rows(ModelConfig(vocab_size=9, num_layers=1, num_heads=1, num_kv_heads=1, **shape)) == rows
