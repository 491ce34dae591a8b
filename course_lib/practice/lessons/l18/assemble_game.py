"""For 18.assemble: a script of requests served by a learner's engine on given parts, as a timeline."""

from functools import cache

import torch

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine import EngineConfig, Scheduler
from course_lib.engine.policies import FCFS, Policy, Priority
from course_lib.engine.request import Request
from course_lib.errors import CourseError
from course_lib.kvcache import BlockAllocator, PagedCache
from course_lib.practice.fixtures.tiny_server import SummingModel
from course_lib.practice.judge.scripts import Script
from course_lib.practice.lessons.l10.continuous_loop_game import outputs_of
from course_lib.practice.report.timeline_text import Timeline


class PartNotUsed(CourseError):
    """An engine has not made a part from the class that it was given."""


class FromTheTop(BlockAllocator):
    """Gives out the blocks with the highest ids first."""

    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
        self.free(sorted(self.allocate(num_blocks)))


class LatestFirst(Policy):
    """The request that arrived last goes first."""

    def key(self, request):
        return -request.arrival


class OneAtATime(Scheduler):
    """Admits a request only while no other runs."""

    def _is_below_max_num_seqs(self, request):
        return not self.running


class Backwards(Scheduler):
    """Lists what a step computes in the reverse order: a chunk stands before the tokens of others."""

    def schedule(self):
        step = super().schedule()
        step.scheduled.reverse()
        return step


@cache
def expecting_tokens(kind):
    """This kind of scheduler, which says in `update` whose token is missing."""

    class Expecting(kind):
        def update(self, step, tokens=None):
            for one in step.scheduled:
                if one.num_choices and one.request_id not in (tokens or {}):
                    raise CourseError(f"update(step, tokens) got no token for {one.request_id!r}, which has a choice.")
            return super().update(step, tokens)

    Expecting.__name__ = kind.__name__
    return Expecting


POLICIES = {"fcfs": FCFS, "priority": Priority, "latest": LatestFirst}
SCHEDULERS = {"course": Scheduler, "one": OneAtATime, "backwards": Backwards}


def prompt_of(number, length, same):
    """The prompt of the script's request of this number. same: whether all prompts begin alike."""
    return [(3 + (0 if same and at < 8 else 5 * number) + 7 * at) % 31 for at in range(length)]


def serve_assembled(
    engine, arrivals, *, policy="fcfs", scheduler="course", max_num_seqs=4, budget=64, num_blocks=16, block_size=4,
    same=False, prefix_caching=False, eos=None, ignore_eos=False, show="tokens",
):  # fmt: skip
    """The Timeline of an engine on a script: the token that each request got in each step. The model is a SummingModel.

    engine: a class such as MyEngine. policy: "fcfs", "priority" or "latest"; scheduler: "course"; "one", which runs
    one request at a time; "backwards", which lists a step in the reverse order. same: whether all prompts begin with
    the same 8 tokens. eos: the end token of the model. show: "tokens"; "computed" also shows how many tokens the model
    computes in each step, "calls" how often it is called, "free" how many blocks are free after each step.
    """
    arrivals = list(arrivals)
    script = Script(tuple(arrivals))
    model = Counting(() if eos is None else (eos,), most_calls=20 * script.most_steps)
    config = EngineConfig(
        num_blocks=num_blocks, block_size=block_size, max_num_seqs=max_num_seqs, max_num_batched_tokens=budget,
        prefix_caching=prefix_caching, watermark=0.0,
    )  # fmt: skip
    made_allocators, made_caches = [], []

    class Watched(FromTheTop):
        def __init__(self, num_blocks, block_size):
            super().__init__(num_blocks, block_size)
            made_allocators.append(self)

    class WatchedCache(PagedCache):
        def __init__(self, pool, allocator):
            super().__init__(pool, allocator)
            made_caches.append(self)

    parts = dict(scheduler=expecting_tokens(SCHEDULERS[scheduler]), policy=POLICIES[policy])
    made = engine(model, config, allocator=Watched, cache=WatchedCache, **parts)
    if not made_allocators:
        raise PartNotUsed("The engine has not made its allocator from the class `allocator` that it was given.")
    if not made_caches:
        raise PartNotUsed("The engine has not made its cache from the class `cache` that it was given.")
    line = Timeline(
        numbers={"P": "computes its prompt and writes token {n}", "D": "writes token {n}"}, signs={".": 'says "stop"'}
    )
    state, left, new = {}, {}, list(enumerate(arrivals))
    for now in range(script.most_steps):
        for number, arrival in [one for one in new if one[1].step <= now]:
            new.remove((number, arrival))
            params = SamplingParams(max_tokens=arrival.max_tokens, ignore_eos=ignore_eos)
            ids = prompt_of(number, arrival.prompt, same)
            made.add_request(Request(arrival.name, ids, params, priority=arrival.priority, arrival=float(now)))
            state[arrival.name] = "W"
        cells = dict(state)
        calls, computed, unfinished = model.calls, model.computed, made.has_unfinished()
        if unfinished:
            for name, token, reason in outputs_of(made.step(), state, left):
                cells[name] = ("P" if state[name] == "W" else "D") + str(token) + ("." if reason == "stop" else "")
                state[name] = "-"
                if reason:
                    del state[name]
                    left[name] = f"finished in step {now}"
        below = {
            "computed": {"computed": model.computed - computed},
            "calls": {"calls": model.calls - calls},
            "free": {"free blocks": made_allocators[0].num_free},
        }.get(show, {})
        line.column(cells, below)
        if not new and not (state and unfinished):
            break
    line.column({}, {"has_unfinished": bool(made.has_unfinished())})
    return line


class Counting(SummingModel):
    """A SummingModel that counts the tokens that it computes, in float64: a pool of another dtype cannot hold them."""

    dtype, computed = torch.float64, 0

    def __call__(self, token_ids, positions, cache, logits_for=None):
        self.computed += len(token_ids)
        return super().__call__(token_ids, positions, cache, logits_for)
