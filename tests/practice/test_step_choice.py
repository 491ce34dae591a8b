"""What runs the functions of 11.token_budget and 11.chunked_prefill: a script, and the engine's scheduler."""

import random

import pytest

from course_lib.engine import Scheduler
from course_lib.errors import IntegrityError
from course_lib.practice.judge.replay import replay
from course_lib.practice.lessons.l11.chunked_prefill import chunked_prefill
from course_lib.practice.lessons.l11.step_choice import Arrival, pairs, request, scheduler_of_choice, serve_choice
from course_lib.practice.lessons.l11.token_budget import fill_budget

THREE = [
    Arrival("a", prompt=2, max_tokens=4),
    Arrival("b", step=1, prompt=6, max_tokens=2),
    Arrival("c", step=1, prompt=1, max_tokens=1),
]


def columns(choose, budget, max_num_seqs=3, arrivals=THREE):
    return [
        (cells, below["tokens"])
        for cells, below in serve_choice(choose, arrivals, token_budget=budget, max_num_seqs=max_num_seqs).columns
    ]


def test_a_script_is_served_step_by_step():
    assert columns(fill_budget, 6) == [
        ({"a": "P2"}, 2),
        ({"a": "D", "b": "W", "c": "W"}, 1),
        ({"a": "D", "b": "W", "c": "W"}, 1),
        ({"a": "D", "b": "W", "c": "W"}, 1),
        ({"b": "P6", "c": "W"}, 6),
        ({"b": "D", "c": "P1"}, 2),
    ]
    assert columns(chunked_prefill, 4) == [
        ({"a": "P2"}, 2),
        ({"a": "D", "b": "P3", "c": "W"}, 4),
        ({"a": "D", "b": "P3", "c": "W"}, 4),
        ({"a": "D", "b": "D", "c": "P1"}, 3),
    ]


def test_a_step_against_the_rules_is_the_last_one():
    def greedy(running, waiting, token_budget, max_num_seqs):
        return [(r, r.num_tokens - r.num_computed_tokens) for r in [*running, *waiting]]

    assert columns(greedy, 4) == [({"a": "P2"}, 2), ({"a": "D", "b": "P6", "c": "P1"}, 8)]
    assert columns(greedy, 99, max_num_seqs=2) == [({"a": "P2"}, 2), ({"a": "D", "b": "P6", "c": "P1"}, 8)]
    assert columns(lambda running, waiting, *_: [(r, 0) for r in waiting], 4) == [({"a": "P0"}, 0)]


def test_a_script_ends_where_no_request_is_chosen():
    assert columns(lambda *_: [], 4) == [({"a": "W"}, 0), ({"a": "W", "b": "W", "c": "W"}, 0)]


@pytest.mark.parametrize(
    "chosen, said",
    [
        (None, "None was returned"),
        ({}, "a dict was returned"),
        ([1], "one of them is an int"),
        ([("a", 1)], "begins with a str"),
        ([(request("a", 3), 1.0)], "a is given 1.0"),
        ([(request("a", 3), True)], "a is given True"),
    ],
)
def test_what_is_no_list_of_pairs_is_refused(chosen, said):
    with pytest.raises(IntegrityError, match=said):
        pairs(chosen)


def test_a_request_chosen_twice_or_from_elsewhere_is_refused():
    for choose in (
        lambda running, waiting, *_: [(r, 1) for r in [*waiting, *waiting]],
        lambda *_: [(request("x", 2), 1)],
    ):
        with pytest.raises(IntegrityError, match="chosen twice, or neither runs nor waits"):
            serve_choice(choose, THREE, token_budget=4, max_num_seqs=3)
        with pytest.raises(IntegrityError, match="chosen twice, or neither runs nor waits"):
            replay(scheduler_of_choice(choose), THREE, max_num_batched_tokens=4)


@pytest.mark.parametrize("seed", range(8))
def test_the_scheduler_of_the_course_chooses_the_same_steps_with_enough_memory(seed):
    draw = random.Random(seed)
    arrivals = [Arrival(name, draw.randint(0, 5), draw.randint(1, 7), draw.randint(1, 5)) for name in "abcde"]
    for choose, chunked, budget in ((fill_budget, False, 11), (chunked_prefill, True, 5)):
        sizes = {"max_num_batched_tokens": budget, "max_num_seqs": 3, "num_blocks": 200, "chunked_prefill": chunked}
        assert replay(scheduler_of_choice(choose), arrivals, **sizes) == replay(Scheduler, arrivals, **sizes)
