"""A small engine on an exact model, and two ways to look at it: shared by the tests of the engine."""

from summing import Summing

from course_lib.engine import Engine, EngineConfig

MODEL = Summing()


def engine(
    num_blocks=16,
    block_size=4,
    *,
    max_num_seqs=8,
    max_num_batched_tokens=64,
    watermark=0.0,
    model=MODEL,
    parts=None,
    **config,
):
    return Engine(
        model,
        EngineConfig(
            block_size=block_size,
            num_blocks=num_blocks,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            watermark=watermark,
            **config,
        ),
        **(parts or {}),
    )


def run(e, check=True):
    """Steps to the end. Returns {(id, index): output} of the last outputs."""
    last = {}
    while e.has_unfinished():
        for output in e.step():
            key = output.request_id, output.index
            if key in last:
                assert output.token_ids == last[key].token_ids + output.new_token_ids and not last[key].finished
            last[key] = output
        if check:
            e.check_integrity()
    assert e.allocator.num_free == e.allocator.num_blocks and not e.runner.saved and not e.scheduler.running
    return last


def steps(e, kind="schedule"):
    """The records of a kind, as rows without step and name."""
    return [row[2:] for row in e.trace.rows() if row[1] == kind]
