"""The policies: queues, fairness and starvation, over random days of a scheduler."""

import random

import pytest
from desk import Desk
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.engine import FCFS, EngineConfig, Fair, Policy, Priority, Request, Scheduler
from course_lib.errors import ParameterError

SETTINGS = settings(deadline=None, derandomize=True, database=None)


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
