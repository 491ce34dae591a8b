"""Requests as they come: reproducible, the same at every rate, with prefixes, conversations and several clients."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest

from course_lib.errors import ParameterError
from course_lib.workload import (
    AtOnce,
    ClosedLoop,
    Conversations,
    Feed,
    Fixed,
    Lengths,
    LogNormal,
    Poisson,
    SharedPrefixes,
    Uniform,
    Workload,
)

MIXED = Lengths(LogNormal(20, 0.8, high=200), Uniform(1, 30))


def all_of(feed):
    """All arrivals; each is answered at once with its own number, again and again."""
    found = []
    while (arrival := feed.pop()) is not None:
        found.append(arrival)
        feed.finished(arrival, [1000 + arrival.turn] * arrival.max_tokens, arrival.at + 0.5)
    assert feed.is_over
    return found


def content(arrivals):
    return [(a.client, a.number, a.turn, a.max_tokens, a.token_ids) for a in arrivals]


def test_the_seed_decides_everything():
    def run(seed):
        workload = Workload(
            Poisson(2.0), MIXED, num_requests=50, seed=seed, conversations=Conversations(think_time=1.0)
        )
        found = all_of(Feed(workload))
        return [a.at for a in found], content(found)

    assert run(3) == run(3) != run(4)


def test_requests_are_the_same_at_every_rate_and_in_every_loop():
    slow, fast, loop = (
        all_of(Feed(Workload(arrivals, MIXED, num_requests=40)))
        for arrivals in (Poisson(1.0), Poisson(50.0), ClosedLoop(3))
    )
    assert content(slow) == content(fast) == sorted(content(loop))
    assert [a.at for a in slow] == pytest.approx([a.at * 50 for a in fast])


def test_arrivals_come_in_order_and_end_with_the_number_or_the_duration():
    found = all_of(Feed(Workload(Poisson(5.0), MIXED, num_requests=99)))
    assert len(found) == 99 and all(a.at <= b.at for a, b in zip(found, found[1:]))
    found = all_of(Feed(Workload(Poisson(5.0), MIXED, duration=20.0)))
    assert 60 < len(found) < 140 and found[-1].at < 20.0


def test_each_turn_begins_with_all_that_was_said():
    turns = Conversations(turns=Fixed(3), think_time=2.0)
    found = all_of(Feed(Workload(Poisson(1.0), MIXED, num_requests=20, conversations=turns)))
    assert len(found) == 60
    by_conversation = {n: sorted((a for a in found if a.number == n), key=lambda a: a.turn) for n in range(20)}
    for first, second, third in by_conversation.values():
        for before, after in ((first, second), (second, third)):
            said = before.token_ids + [1000 + before.turn] * before.max_tokens
            assert after.token_ids[: len(said)] == said and len(after.token_ids) > len(said)
            assert after.at > before.at + 0.5  # after its output, and a pause
    pauses = [b.at - a.at - 0.5 for turns in by_conversation.values() for a, b in zip(turns, turns[1:])]
    assert np.mean(pauses) == pytest.approx(2.0, rel=0.6)


def test_a_conversation_ends_before_it_outgrows_the_context():
    workload = Workload(AtOnce(), MIXED, num_requests=30, context=100, conversations=Conversations(Fixed(50)))
    found = all_of(Feed(workload))
    assert 30 < len(found) and all(len(a.token_ids) + a.max_tokens <= 100 for a in found)


def test_what_is_longer_than_the_context_is_cut():
    lengths = Lengths(Fixed(50), Fixed(9))
    [a] = all_of(Feed(Workload(AtOnce(), lengths, num_requests=1, context=20)))
    assert (len(a.token_ids), a.max_tokens) == (19, 1)
    [a] = all_of(Feed(Workload(AtOnce(), lengths, num_requests=1, context=55)))
    assert (len(a.token_ids), a.max_tokens) == (50, 5)


def test_a_share_of_the_requests_begins_with_one_of_the_prefixes():
    prefixes = SharedPrefixes(num_tokens=16, count=3, share=0.75)
    workload = Workload(AtOnce(), Lengths(Fixed(5), Fixed(1)), num_requests=400, prefixes=prefixes)
    found = all_of(Feed(workload))
    with_one = [a for a in found if len(a.token_ids) == 21]
    assert len(with_one) / 400 == pytest.approx(0.75, abs=0.08) and all(len(a.token_ids) in (5, 21) for a in found)
    beginnings = {tuple(a.token_ids[:16]) for a in with_one}
    assert beginnings == {tuple(workload.prefix(i)) for i in range(3)}
    assert len({tuple(a.token_ids[16:]) for a in with_one}) > 290


def test_several_clients_in_the_order_of_their_arrivals():
    long = Workload(Poisson(1.0), Lengths(Fixed(90), Fixed(1)), num_requests=30, client="a", priority=2)
    short = Workload(ClosedLoop(2), Lengths(Fixed(5), Fixed(3)), num_requests=60, client="b")
    found = all_of(Feed(long, short))
    assert all(a.at <= b.at for a, b in zip(found, found[1:]))
    assert [sum(a.client == c for a in found) for c in "ab"] == [30, 60]
    assert {a.priority for a in found if a.client == "a"} == {2}
    alone = all_of(Feed(long))
    assert content([a for a in found if a.client == "a"]) == content(alone)


def test_prompts_are_ids_of_the_vocabulary_and_different():
    found = all_of(Feed(Workload(AtOnce(), MIXED, num_requests=200, vocab_size=50)))
    ids = [i for a in found for i in a.token_ids]
    assert min(ids) == 3 and max(ids) == 49
    assert len({tuple(a.token_ids) for a in found if len(a.token_ids) > 8}) > 150


def test_nothing_is_made_before_it_is_needed():
    feed = Feed(Workload(Poisson(100.0), MIXED, num_requests=10**12))
    tracemalloc.start()
    for arrival in islice(iter(feed.pop, None), 3000):
        feed.finished(arrival, [], arrival.at)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_feed_counts_what_is_open():
    feed = Feed(Workload(AtOnce(), MIXED, num_requests=2))
    a, b = feed.due(0.0)
    assert feed.num_open == 2 and not feed.is_over and feed.next_at is None
    feed.finished(a, [], 1.0), feed.finished(b, [], 1.0)
    assert feed.is_over and feed.pop() is None


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Workload(Poisson(1.0), MIXED), "never end"),
        (lambda: Workload("poisson", MIXED, num_requests=1), "Poisson"),
        (lambda: Workload(Poisson(1.0), num_requests=1), "lengths is missing"),
        (lambda: Workload(Poisson(1.0), "chat", num_requests=1), "LENGTH_SETS"),
        (lambda: Workload(Poisson(1.0), MIXED, num_requests=0), "num_requests"),
        (lambda: Workload(Poisson(1.0), MIXED, duration=-1), "duration"),
        (lambda: Workload(Poisson(1.0), MIXED, num_requests=1, vocab_size=3), "vocab_size"),
        (lambda: Workload(Poisson(1.0), MIXED, num_requests=1, seed=-1), "seed"),
        (lambda: SharedPrefixes(8, share=1.5), "share"),
        (lambda: Conversations(think_time="long"), "think_time"),
        (lambda: Feed("chat"), "no Workload"),
        (lambda: Feed(*[Workload(AtOnce(), MIXED, num_requests=1)] * 2), "same client"),
    ],
)
def test_impossible_workloads_are_refused(make, message):
    with pytest.raises(ParameterError, match=message):
        make()
