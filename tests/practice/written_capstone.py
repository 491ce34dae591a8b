"""Wrong answers to lesson 18 as people write them; see written_otherwise.py. RIGHT: other right ones."""

import torch

from course_lib.decoding.generate import stop_ids
from course_lib.engine import Policy, Scheduler
from course_lib.kvcache import BlockAllocator, KVCacheManager, KVPool, PagedCache
from course_lib.practice.lessons.l18.solutions.read_vllm import read_vllm
from course_lib.practice.lessons.l18.your_policy_mistakes import (
    DropsReturning,
    NoInit,
    OneForAll,
    PeekTakes,
    PopsAnother,
    PushesTwice,
    RemovesFirst,
)

# --- 18.assemble


class Typed:
    """As somebody types it who has read the page once."""

    def __init__(self, model, config, *, allocator, cache, scheduler, policy):
        self.allocator = allocator(config.num_blocks, config.block_size)
        self.pool = KVPool(model.config, config.num_blocks, config.block_size, model.device, model.dtype)
        self.cache = cache(self.pool, self.allocator)
        self.manager = KVCacheManager(self.allocator, prefix_caching=config.prefix_caching)
        self.policy = policy()
        self.scheduler = scheduler(config, self.manager, policy=self.policy)
        self.model = model

    def add_request(self, request):
        request.stop_ids = frozenset(stop_ids(self.model.config, request.params))
        self.scheduler.add(request)

    def has_unfinished(self):
        return self.scheduler.has_unfinished()

    def step(self):
        step = self.scheduler.schedule()
        if step.num_tokens == 0:
            return []
        flat, tables, counts, ends = [], [], [], {}
        for request_id, _, n, token_ids, choices, *_ in step.scheduled:
            flat.extend(token_ids)
            tables.append(self.manager.table(self.scheduler.running[request_id]))
            counts.append(n)
            if choices:
                ends[request_id] = len(flat) - 1
        positions = self.cache.begin_step(tables, counts)
        rows = torch.tensor(list(ends.values()), dtype=torch.long)
        logits = self.model(torch.tensor(flat), positions, self.cache, logits_for=rows)
        tokens = {name: [int(row.argmax())] for name, row in zip(ends, logits)}
        return [self.told(*one) for one in self.scheduler.update(step, tokens)]

    def told(self, request, new):
        if request.finish_reason is not None:
            self.scheduler.finish(request, request.finish_reason)
        return request.request_id, new[0], request.finish_reason


class CourseParts(Typed):
    def __init__(self, model, config, **parts):
        super().__init__(
            model, config, **{**parts, "allocator": BlockAllocator, "cache": PagedCache, "scheduler": Scheduler}
        )  # fmt: skip


class PolicyClass(Typed):
    def __init__(self, model, config, *, allocator, cache, scheduler, policy):
        super().__init__(model, config, allocator=allocator, cache=cache, scheduler=scheduler, policy=lambda: policy)


class ForgetsTheRest(Typed):
    def told(self, request, new):
        return request.request_id, new[0], request.finish_reason


class StringsForReasons(Typed):
    def told(self, request, new):
        return (*super().told(request, new)[:2], bool(request.finish_reason))


class PairsOnly(Typed):
    def told(self, request, new):
        return super().told(request, new)[:2]


class NothingEnds(Typed):
    def add_request(self, request):
        self.scheduler.add(request)


class EndsAlways(Typed):
    def add_request(self, request):
        request.stop_ids = {*request.params.stop_token_ids, *self.model.config.eos_token_ids}
        self.scheduler.add(request)


class LeavesOneOut(Typed):
    """Leaves the first request out of what it returns."""

    def step(self):
        return sorted(super().step(), key=lambda one: one[0])[1:]


class HalfUnfinished(Typed):
    def has_unfinished(self):
        return len(self.scheduler.running) > 0


class DecodesOnly(Typed):
    """Gives the model the newest token only, also of a prompt."""

    def step(self):
        step = self.scheduler.schedule()
        if not step.scheduled:
            return []
        tables = [self.manager.table(self.scheduler.running[one.request_id]) for one in step.scheduled]
        positions = self.cache.begin_step(tables, [1] * len(tables))
        flat = torch.tensor([one.token_ids[-1] for one in step.scheduled])
        best = self.model(flat, positions, self.cache).argmax(1).tolist()
        tokens = {one.request_id: [token] for one, token in zip(step.scheduled, best)}
        return [self.told(*one) for one in self.scheduler.update(step, tokens)]


class PrintsOutputs(Typed):
    def step(self):
        print(super().step())


# --- 18.read_vllm


def but(**others):
    return lambda: {**read_vllm(), **others}


def sorted_keys():
    return dict(sorted(read_vllm().items()))


def as_strings():
    return {key: str(value) for key, value in read_vllm().items()}


def in_a_list():
    return list(read_vllm().values())


def without_kept():
    return {key: value for key, value in read_vllm().items() if key != "kept"}


def prints_answers():
    print(read_vllm())


# --- 18.your_policy


class TwoLanes(Policy):
    """Three of the short lane, then one of the long lane."""

    def __init__(self):
        self.lanes, self.turns = ([], []), 0

    def push(self, request, *, returning=False):
        lane = self.lanes[request.num_prompt_tokens / 4 + request.params.max_tokens >= 90]
        lane.append(request)

    def lane(self):
        short, long = self.lanes
        return long if not short or (long and self.turns >= 3) else short

    def peek(self):
        return self.lane()[0] if self.lane() else None

    def pop(self):
        lane = self.lane()
        self.turns = 0 if lane is self.lanes[1] else self.turns + 1
        return lane.pop(0)

    def remove(self, request):
        next(lane for lane in self.lanes if request in lane).remove(request)

    def __len__(self):
        return sum(map(len, self.lanes))


def keyed(key):
    """A class of policies with this key."""
    return type("Keyed", (Policy,), {"key": lambda self, request: key(request)})


WORK = lambda r: r.num_prompt_tokens / 4 + r.params.max_tokens  # noqa: E731

RIGHT = {
    "18.assemble": [Typed],
    "18.read_vllm": [but(), sorted_keys],
    "18.your_policy": [TwoLanes, keyed(lambda r: (r.arrival + 0.004 * WORK(r), r.number))],
}
CASES = {
    "18.assemble": [
        ("allocator is not the one that was given", CourseParts),
        ("class of policies is passed", PolicyClass),
        ("ended is not finished", ForgetsTheRest),
        (None, StringsForReasons),
        ("else than triples", PairsOnly),
        ("end token ends no sequence", NothingEnds),
        ("although `ignore_eos` is set", EndsAlways),
        (None, LeavesOneOut),
        ("waiting requests do not count", HalfUnfinished),
        (None, DecodesOnly),
        ("`step` returns nothing", PrintsOutputs),
    ],
    "18.read_vllm": [
        ("`tokens`: C gets tokens", but(tokens=[1, 63, 40])),
        ("`full_hit`: nothing is computed", but(full_hit=(64, 0))),
        ("`freed`: blocks go to the end", but(freed=[7, 8, 9, 3, 4, 5])),
        ("`reused`: new blocks are those", but(reused=[3, 7, 8])),
        ("`preempted`: the first victim is next", but(preempted=["C", "B", "D", "E"])),
        ("`important`: the earlier of two", but(important=["B", "C", "D"])),
        ("`same_step`: vLLM is thought", but(same_step=[64, 64])),
        ("`rows`: vLLM is thought", but(rows=[[0, 67], [0, 67]])),
        ("`kept`: top-p is taken", but(kept=[0, 1, 2])),
        ("`evicted`: parents are not", but(evicted=list("XWY"))),
        (None, but(evicted=list("SXYWZ"))),
        (None, but(tokens=64)),
        (None, but(kept={0, 1})),
        (None, without_kept),
        ("an answer is text", as_strings),
        ("without their keys", in_a_list),
        ("printed, not returned", prints_answers),
    ],
    "18.your_policy": [
        ("this is first come", keyed(lambda r: r.arrival)),
        ("this is first come", keyed(lambda r: r.number)),
        ("last request to arrive", keyed(lambda r: -r.arrival)),
        ("short requests pass", keyed(WORK)),
        ("short requests pass", keyed(lambda r: r.params.max_tokens)),
        ("short requests pass", keyed(lambda r: r.num_prompt_tokens)),
        ("most work go first", keyed(lambda r: -WORK(r))),
        ("waiting hardly counts", keyed(lambda r: r.arrival + 0.05 * WORK(r))),
        ("hardly any request passes", keyed(lambda r: r.arrival + 0.0004 * WORK(r))),
        ("what no request has", keyed(lambda r: r.num_tokens_left)),
        ("queue of Policy was never made", NoInit),
        ("holds the requests of another", OneForAll),
        ("`peek` takes", PeekTakes),
        ("than `peek` returned", PopsAnother),
        ("in twice", PushesTwice),
        ("`remove` takes another", RemovesFirst),
        ("preempted request is not", DropsReturning),
    ],
}
