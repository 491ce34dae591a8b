"""An engine over several processes. Rank 0 schedules and keeps the ledger; each Step goes to all ranks.

    rank 0     schedule -> Step -> send -> run -> tokens -> update     its heads of the model, its KV heads of the pool
    rank 1 ..                      Step -> run                         theirs; the same block ids, slots and copies

Every rank has the logits of the whole vocabulary at the end of a step and chooses the tokens itself: the random numbers
come from counters (decoding/counter_rng.py), so all choose the same, and nothing is sent back. What a rank computes is
the Runner of one process over a smaller model.

The tokens are those of one process as far as the sums are: a sum over two ranks differs from one sum in the last bits.
In float32 the greedy tokens are the same unless two logits are as close as that; in bfloat16 they soon differ.
"""

import itertools
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from course_lib.errors import CourseError, ParallelError, ParameterError
from course_lib.models import load_model
from course_lib.parallel import load_sharded

from .allocators import is_object
from .gpu import make_runner
from .memory import make_memory

_numbers = itertools.count()


def open_model(model, config, tokenizer=None, attention=None):
    """(model, its tokenizer). model: a Transformer, or the part of one that load_sharded returned, or a name, which is
    loaded here over `config.tensor_parallel` processes. attention: that of an Engine, refused where there are several
    of these, before any is started.
    """
    if attention is not None and config.tensor_parallel > 1:
        raise ParameterError(
            "attention= came with tensor_parallel above 1. The other processes do not have your function or class. "
            "Leave it out, or use tensor_parallel=1."
        )
    if isinstance(model, (str, Path)):
        if config.tensor_parallel == 1:
            model, own = load_model(model)
        else:
            model, own = load_sharded(model, config.tensor_parallel)
            model.ranks.end_with_engine = True
        return model, tokenizer or own
    size = model.ranks.size if hasattr(model, "ranks") else 1
    if size != config.tensor_parallel:
        raise ParameterError(
            f"tensor_parallel is {config.tensor_parallel}, and this model is loaded in {size} "
            f"process{'es' * (size > 1)}. Pass the name of the model instead, and the engine loads it in as many as "
            f'it needs: Engine("tale", EngineConfig(tensor_parallel=2)).'
        )
    return model, tokenizer


@contextmanager
def starting(model, config, allocator=None):
    """Around the making of an engine's memory and runner, which every rank does. Gives the function that makes the
    engine's runner of the runner of this process.
    """
    if config.tensor_parallel == 1:
        yield lambda runner: runner
        return
    if config.num_blocks is None and is_object(allocator):
        config = replace(config, num_blocks=getattr(allocator, "num_blocks", None))
    ranks, number = model.ranks, next(_numbers)
    try:
        with ranks.together():
            ranks.send(_make, number, replace(config, policy="fcfs"))  # they schedule nothing
            yield lambda runner: ParallelRunner(ranks, number, runner)
    except CourseError:
        ranks.close(patience=0)  # the others may wait for what is not computed here
        raise


class ParallelRunner:
    """The runner of an engine over several processes, as rank 0 has it. runner: the Runner of its own part."""

    def __init__(self, ranks, number, runner):
        self.ranks, self.number, self.runner, self.forgotten = ranks, number, runner, []
        self.is_closed = False

    @property
    def saved(self):
        """What was swapped out, of this rank's KV heads."""
        return self.runner.saved

    def run(self, step):
        """As Runner.run, on all ranks. Raises ParallelError where one has ended."""
        if self.is_closed:
            raise ParallelError("This engine was closed. Make a new one.")
        forgotten, self.forgotten = self.forgotten, []
        with self.ranks.together():
            self.ranks.send(_run, self.number, forgotten, step)
            return ParallelTokens(self.ranks, self.runner.run(step))

    def forget(self, request_id):
        """As Runner.forget; the others hear of it with the next step."""
        self.runner.forget(request_id)
        self.forgotten.append(request_id)

    def close(self):
        """Ends the processes that the engine started; those of a model of load_sharded drop their KV cache only."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.ranks.end_with_engine:
            self.ranks.close()
        else:
            self.ranks.send(_drop, self.number)


class ParallelTokens:
    """As Tokens. Where a rank has ended, the GPUs of the others may never finish, so they are not waited for."""

    def __init__(self, ranks, tokens):
        self.ranks, self.tokens, self.logprobs = ranks, tokens, tokens.logprobs

    def wait(self):
        """As Tokens.wait. Raises ParallelError where a rank has ended."""
        event = self.tokens.event
        while event is not None and not event.query():
            self.ranks.check()
            time.sleep(0)
        found = self.tokens.wait()
        self.ranks.check()
        return found


# --- what the other ranks do ---


def _make(me, number, config):
    _, cache = make_memory(me.model, config)
    me.kept[number] = make_runner(me.model, cache, config)


def _run(me, number, forgotten, step):
    runner = me.kept[number]
    for request_id in forgotten:
        runner.forget(request_id)
    try:
        runner.run(step)
    except CourseError:
        pass  # about the step, such as NaN in the logits: rank 0 raises the same


def _drop(me, number):
    me.kept.pop(number, None)
