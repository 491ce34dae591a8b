"""Scheduler and policies on the ledger alone, without a model: literal steps, order, fairness, and nobody left
behind.
"""

import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.decoding import SamplingParams
from course_lib.engine import FCFS, EngineConfig, Fair, Policy, Priority, Request, Scheduler
from course_lib.errors import IntegrityError, ParameterError
from course_lib.kvcache import BlockAllocator, KVCacheManager

SETTINGS = settings(deadline=None, derandomize=True, database=None)


class Desk:
    """A scheduler and its ledger; the model is a hand that writes the next number."""

    def __init__(
        self,
        num_blocks=16,
        block_size=4,
        *,
        max_num_seqs=8,
        max_num_batched_tokens=64,
        watermark=0.0,
        policy=None,
        **config,
    ):
        if isinstance(policy, str) or policy is None:
            config["policy"] = policy or "fcfs"
        self.config = EngineConfig(
            block_size=block_size,
            num_blocks=num_blocks,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            watermark=watermark,
            **config,
        )
        allocator = BlockAllocator(num_blocks, block_size)
        manager = KVCacheManager(allocator, prefix_caching=self.config.prefix_caching, eviction=self.config.eviction)
        self.s = Scheduler(self.config, manager, policy=None if isinstance(policy, str) else policy)
        self.clock = self.written = 0
        self.requests = {}

    def add(self, name, prompt, answer=4, **more):
        self.clock += 1
        tokens = [self.clock * 1000 + i for i in range(prompt)] if isinstance(prompt, int) else prompt
        request = Request(name, tokens, SamplingParams(max_tokens=answer), **{"arrival": float(self.clock), **more})
        self.s.add(request)
        self.requests[name] = request
        return request

    def step(self):
        """One step; the Step. Every rule is checked that a step has to keep."""
        step = self.s.schedule()
        assert (
            step.scheduled
            and step.num_tokens <= self.config.max_num_batched_tokens
            and len(self.s.running) <= self.config.max_num_seqs
        )
        assert all(s.num_tokens >= 1 for s in step.scheduled)
        assert len(self.names(step)) == len(set(self.names(step)))
        assert pickle.loads(pickle.dumps(step)) == step  # whole in itself: it names no Request and no manager
        self.s.update(step)
        for request in map(self.requests.get, self.names(step)):
            if request.num_computed_tokens == request.num_tokens:
                self.written += 1
                request.append(self.written)
                if request.finish_reason:
                    self.s.finish(request, request.finish_reason)
        self.s.check_integrity()
        return step

    def plan(self):
        """One step as {name: tokens}."""
        return {s.request_id: s.num_tokens for s in self.step().scheduled}

    def names(self, step):
        return [s.request_id for s in step.scheduled]


# --- literal steps ---


def test_running_requests_go_first_and_the_rest_of_the_budget_is_the_next_ones():
    d = Desk(max_num_batched_tokens=8)
    d.add("a", 6), d.add("b", 9), d.add("c", 2)
    assert d.plan() == {"a": 6, "b": 2}
    assert d.plan() == {"a": 1, "b": 7}
    assert d.plan() == {"a": 1, "b": 1, "c": 2}
    assert d.plan() == {"a": 1, "b": 1, "c": 1}


def test_the_first_in_line_is_not_overtaken_by_smaller_ones():
    d = Desk(num_blocks=4, block_size=4, prefix_caching=False)
    d.add("a", 9), d.add("b", 8), d.add("c", 1)
    assert d.plan() == {"a": 9}  # b needs two blocks, one is free; c would fit
    assert [d.plan() for _ in range(3)] == [{"a": 1}] * 3
    assert d.plan() == {"b": 8, "c": 1}


def test_two_long_prompts_do_not_begin_together_where_only_one_can_end():
    """Half a prompt holds memory and brings nothing: whoever is admitted has room for all of its tokens."""
    d = Desk(num_blocks=8, block_size=1, max_num_batched_tokens=4, prefix_caching=False)
    d.add("a", 6, answer=1), d.add("b", 5, answer=1)
    assert [d.plan() for _ in range(4)] == [{"a": 4}, {"a": 2}, {"b": 4}, {"b": 1}]


def test_the_watermark_keeps_room_for_those_who_run():
    for watermark, first in ((0.0, {"a": 8, "b": 8}), (0.25, {"a": 8})):
        d = Desk(num_blocks=4, watermark=watermark, prefix_caching=False)
        d.add("a", 8), d.add("b", 8)
        assert d.plan() == first


def test_the_last_one_makes_room_and_is_the_first_to_come_back():
    d = Desk(num_blocks=4, prefix_caching=False)
    a, b = d.add("a", 4, answer=10), d.add("b", 7, answer=9)
    c = d.add("c", 5)
    assert d.plan() == {"a": 4, "b": 7}
    assert d.plan() == {"a": 1, "b": 1}
    step = d.step()  # b writes into a third block, and there is none
    assert d.names(step) == ["a"] and step.preempted == [("b", 8)]
    assert b.num_computed_tokens == 0 and b.num_tokens == 9 and d.s.waiting.peek() is b and len(d.s.waiting) == 2
    while a.finish_reason is None:
        assert "b" not in d.plan()
    assert d.plan() == {"b": 9} and c.num_computed_tokens == 0


def test_what_is_swapped_says_from_which_blocks_and_to_which_slots():
    d = Desk(num_blocks=4, preemption="swap", prefix_caching=False)
    b = (d.add("a", 4, answer=6), d.add("b", 7, answer=9))[1]
    d.step(), d.step()
    step = d.step()
    assert step.swapped_out == [("b", [1, 2], 8)] and step.preempted == [("b", 0)]
    assert (b.num_computed_tokens, b.status) == (8, "swapped")
    for _ in range(3):
        step = d.step()
    assert step.swapped_in == []
    step = d.step()
    [(name, start, slots)] = step.swapped_in
    assert (name, start, len(slots)) == ("b", 0, 8)
    assert next(s for s in step.scheduled if s.request_id == "b").num_tokens == 1
    table = d.s.manager.table(b)
    assert slots == [table.slot(i) for i in range(8)]


def test_what_the_cache_still_has_is_not_swapped_in():
    d = Desk(num_blocks=4, preemption="swap")
    d.add("a", 4, answer=6), d.add("b", 7, answer=9)
    while not (step := d.step()).swapped_in:
        pass
    [(b, start, slots)] = step.swapped_in
    assert start in (4, 8) and len(slots) == 8 - start


def test_a_step_that_broke_off_leaves_no_trace_of_itself():
    d = Desk(num_blocks=6)
    requests = [d.add(name, 6, answer=9) for name in "abc"]
    d.step()
    before = [r.token_ids[:] for r in requests]
    step = d.s.schedule()
    d.s.undo(step)
    d.s.manager.check_integrity()
    assert not d.s.running and len(d.s.waiting) == 3 and d.s.num_sequences == 0 and d.s.manager.allocator.num_free == 6
    assert [r.token_ids for r in requests] == before and all(
        r.num_computed_tokens == 0 and r.status == "waiting" for r in requests
    )
    assert d.s.waiting.peek() is requests[0]


def test_a_step_short_of_memory_admits_nobody():
    """Not even one who would fit: its blocks would be missing again in the next step."""
    d = Desk(num_blocks=5, policy="fair", prefix_caching=False)
    d.add("a", 8, answer=9, client="x"), d.add("b", 12, answer=9, client="x")
    assert d.plan() == {"a": 8, "b": 12}
    d.add("c", 2, client="y")
    step = d.step()
    assert [name for name, _ in step.preempted] == ["b"] and d.names(step) == ["a"]
    assert "c" in d.plan()


def test_a_swapped_request_finds_more_in_the_cache_than_it_had_computed():
    d = Desk(num_blocks=8, preemption="swap", max_num_batched_tokens=6)
    text = list(range(12))
    b = d.add("b", text)
    d.step()
    step = d.s.schedule()  # b goes on, but let it be swapped out instead
    d.s.undo(step)
    b.status, b.num_computed_tokens = "swapped", 6
    d.s._swapped["b"] = b
    other = Request("other", text, SamplingParams(max_tokens=1))
    d.s.manager.allocate_slots(other, 12 - d.s.manager.match_prefix(other))
    d.s.manager.commit(other, 12)
    d.s.manager.free(other)
    hit = d.s.manager.match_prefix(b)
    step = d.s.schedule()
    assert (
        hit >= 8
        and step.swapped_in == [("b", hit, [])]
        and [(s.request_id, s.num_tokens) for s in step.scheduled] == [("b", 12 - hit)]
        and b.num_computed_tokens == hit
    )


def test_copies_of_a_step_that_broke_off_are_not_made_later():
    d = Desk(num_blocks=6, prefix_caching=False)
    a = d.add("a", 6, answer=9)
    d.step()
    child = a.fork(1)
    child.append(7)
    a.num_sequences, d.s.num_sequences = 2, 2
    d.s.fork(a, child)
    step = d.s.schedule()
    assert len(step.copies) == 1
    d.s.undo(step)
    assert d.s.manager.allocator.copies == [] and d.s.manager.allocator.num_free == 6


def test_integrity_names_what_does_not_hold():
    d = Desk()
    a = d.add("a", 6)
    d.step()
    d.s.num_sequences += 1
    with pytest.raises(IntegrityError, match="stand for 1 sequences, 2 are counted"):
        d.s.check_integrity()
    d.s.num_sequences -= 1
    a.num_computed_tokens -= 1
    with pytest.raises(IntegrityError, match="slots for 6 tokens"):
        d.s.check_integrity()


# --- policies as queues ---


@pytest.mark.parametrize(
    "policy, key",
    [(FCFS, lambda r: r.arrival), (Priority, lambda r: (r.priority, r.arrival))],
    ids=["fcfs", "priority"],
)
@given(data=st.data())
@settings(SETTINGS, max_examples=80)
def test_a_queue_is_a_sorted_list(policy, key, data):
    queue, model = policy(), []
    for number in range(data.draw(st.integers(0, 40))):
        what = data.draw(st.integers(0, 3))
        if what < 2 or not model:
            name = data.draw(st.sampled_from("abc")) + str(number % 5)
            if any(r.request_id == name for r in model):
                continue
            request = Request(name, [1], priority=data.draw(st.integers(0, 2)), arrival=data.draw(st.integers(0, 3)))
            queue.push(request, returning=what == 1)
            model.append(request)
        elif what == 2:
            first = min(model, key=lambda r: (key(r), r.number))
            assert queue.peek() is first and queue.pop() is first
            model.remove(first)
        else:
            gone = data.draw(st.sampled_from(model))
            queue.remove(gone)
            model.remove(gone)
        assert len(queue) == len(model) and (queue.peek() is None) == (not model)


def test_aborted_requests_do_not_pile_up_in_a_queue():
    queue = FCFS()
    queue.push(Request("first", [1], arrival=0))
    for number in range(1000):
        request = Request(str(number), [1], arrival=1)
        queue.push(request)
        queue.remove(request)
    assert len(queue) == 1 and len(queue._queue._heap) < 40


def test_a_policy_of_ones_own_needs_a_key_and_nothing_else():
    class ShortestFirst(Policy):
        def key(self, request):
            return request.num_prompt_tokens

    d = Desk(max_num_seqs=1, policy=ShortestFirst())
    for name, prompt in (("long", 9), ("short", 2), ("middle", 5)):
        d.add(name, prompt, answer=1)
    assert [d.plan() for _ in range(3)] == [{"short": 2}, {"middle": 5}, {"long": 9}]
    assert isinstance(Scheduler(EngineConfig(policy=ShortestFirst), d.s.manager).waiting, ShortestFirst)
    with pytest.raises(NotImplementedError, match="Bare has no key"):
        type("Bare", (Policy,), {})().push(Request("a", [1]))
    with pytest.raises(ParameterError, match="the class, not an object"):
        EngineConfig(policy=ShortestFirst())


# --- nobody is left behind ---


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
@given(seed=st.integers(0, 10**6))
@settings(SETTINGS, max_examples=60)
def test_first_come_first_served_admits_in_the_order_of_arrival(preemption, seed):
    draw = random.Random(seed)
    d = Desk(
        num_blocks=draw.randrange(6, 12),
        block_size=2,
        max_num_seqs=draw.randrange(1, 5),
        preemption=preemption,
        max_num_batched_tokens=draw.randrange(1, 20),
    )
    admitted, requests = [], []
    for number in range(400):
        if number < 60 and draw.random() < 0.6:
            requests.append(d.add(str(number), draw.randrange(1, 6), answer=draw.randrange(1, 7)))
        if d.s.has_unfinished():
            oldest = next(iter(d.s.running), None)
            step = d.step()
            admitted += [name for name, _ in step.admitted if name not in admitted]
            assert oldest not in [
                name for name, _ in step.preempted
            ]  # so it gets on and ends, and then the next one is it
    assert not d.s.has_unfinished() and admitted == [r.request_id for r in requests]


def flood(policy, steps=1500, seed=0, record=None):
    """A modest client beside one that floods; both have somebody waiting all the time. {client: tokens written}."""
    draw, d = (
        random.Random(seed),
        Desk(num_blocks=12, block_size=4, max_num_seqs=3, max_num_batched_tokens=16, policy=policy),
    )
    number = 0
    for _ in range(steps):
        for client, backlog in (("modest", 4), ("flood", 40)):
            while sum(r.client == client for r in waiting_of(d.s)) < backlog:
                number += 1
                d.add(f"{client} {number}", draw.randrange(1, 6), answer=draw.randrange(1, 9), client=client)
        d.step()
        if record is not None:
            record()
    return d


def waiting_of(scheduler):
    queues = scheduler.waiting._queues.values() if isinstance(scheduler.waiting, Fair) else [scheduler.waiting._queue]
    return [request for queue in queues for request in queue._waiting.values()]


class Counting(Fair):
    """Keeps the service as it was given, beside the counters, which are lifted too."""

    def __init__(self):
        super().__init__()
        self.service = {}

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        super().charge(request, prompt_tokens=prompt_tokens, output_tokens=output_tokens)
        self.service[request.client] = self.service.get(request.client, 0) + prompt_tokens + 2 * output_tokens


def test_fair_shares_hold_against_a_flood_and_first_come_first_served_does_not():
    bound, policy, gaps = 2 * (1 * 5 + 2 * 3 * 8), Counting(), []
    d = flood(policy, record=lambda: gaps.append(policy.service.get("flood", 0) - policy.service.get("modest", 0)))
    assert max(gaps) - min(gaps) <= bound and sum(policy.service.values()) > 20 * bound
    plain = type(
        "Plain",
        (FCFS,),
        {
            "charge": lambda self, request, prompt_tokens=0, output_tokens=0: given.update(
                {request.client: given.get(request.client, 0) + prompt_tokens + 2 * output_tokens}
            )
        },
    )
    given = {}
    flood(plain())
    assert given["flood"] - given["modest"] > 5 * bound
    assert d.s.has_unfinished()


@given(seed=st.integers(0, 10**6))
@settings(SETTINGS, max_examples=40)
def test_service_bound_between_any_two_clients_while_both_have_somebody_waiting(seed):
    """Whatever three clients ask for, and with memory so short that requests are preempted."""
    draw = random.Random(seed)
    longest_prompt, longest_answer, seats = draw.randrange(1, 9), draw.randrange(1, 9), draw.randrange(1, 5)
    policy = Counting()
    d = Desk(
        num_blocks=draw.randrange(5, 16),
        block_size=4,
        max_num_seqs=seats,
        max_num_batched_tokens=draw.randrange(1, 30),
        policy=policy,
        preemption=draw.choice(["recompute", "swap"]),
    )
    bound = 2 * (longest_prompt + 2 * seats * longest_answer)
    eager = {client: draw.random() for client in "xyz"}
    low = {}  # pair -> the smallest difference of service since both have been waiting
    for number in range(300):
        for client in "xyz":
            for copy in range(3):
                if draw.random() < eager[client]:
                    d.add(
                        f"{client} {number} {copy}",
                        draw.randrange(1, longest_prompt + 1),
                        answer=draw.randrange(1, longest_answer + 1),
                        client=client,
                    )
        if d.s.has_unfinished():
            d.step()
        waiting = {r.client for r in waiting_of(d.s)}
        for pair in (("x", "y"), ("y", "x"), ("x", "z"), ("z", "x"), ("y", "z"), ("z", "y")):
            if not waiting.issuperset(pair):
                low.pop(pair, None)
                continue
            gap = policy.service.get(pair[0], 0) - policy.service.get(pair[1], 0)
            low[pair] = min(low.get(pair, gap), gap)
            assert gap - low[pair] <= bound


def test_who_was_away_has_saved_up_nothing():
    policy = Counting()
    d = Desk(max_num_seqs=1, policy=policy, max_num_batched_tokens=8)
    for number in range(20):
        d.add(f"x{number}", 4, answer=4, client="x")
    for _ in range(40):
        d.step()
    for number in range(20):
        d.add(f"y{number}", 4, answer=4, client="y")
    service = dict(policy.service)
    for _ in range(32):
        d.step()
    assert abs((policy.service["y"] - service.get("y", 0)) - (policy.service["x"] - service["x"])) <= 2 * (4 + 2 * 4)


def test_priority_takes_over_and_gives_back():
    d = Desk(max_num_seqs=2, policy="priority")
    low = [d.add(f"low{i}", 4, answer=9, priority=5) for i in range(2)]
    d.step()
    high = d.add("high", 4, answer=2, priority=0)
    same = d.add("same", 4, answer=2, priority=5)
    step = d.step()
    assert [name for name, _ in step.preempted] == ["low1"] and "high" in d.names(step)
    d.step()
    assert high.finish_reason and low[0].num_tokens > low[1].num_tokens
    assert "low1" in d.plan() and same.num_tokens == 4  # it comes back before an equal that came later

    class Polite(Priority):
        """Waits for its turn: priority inversion, to be seen."""

        def outranks(self, waiting, running):
            return False

    d = Desk(max_num_seqs=1, policy=Polite())
    d.add("low", 4, answer=9, priority=5)
    d.step()
    high = d.add("high", 4, answer=2, priority=0)
    for _ in range(8):
        assert d.plan() == {"low": 1}
    assert d.plan() == {"high": 4} and high.num_tokens == 5


def test_a_thousand_preemptions_and_everybody_ends():
    """Memory for one and a half requests, and newcomers all the time: the first always gets on."""
    for policy in ("fcfs", "fair", "priority"):
        draw, d = (
            random.Random(1),
            Desk(num_blocks=6, block_size=2, max_num_seqs=6, policy=policy, prefix_caching=False),
        )
        requests, preemptions = [], 0
        for number in range(250):
            requests.append(
                d.add(str(number), draw.randrange(1, 4), answer=9, client=str(number % 3), priority=number % 3)
            )
        while d.s.has_unfinished():
            preemptions += len(d.step().preempted)
        assert all(r.finish_reason == "length" for r in requests) and preemptions > 100
