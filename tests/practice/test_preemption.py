"""Answers to 11.fair_share, 11.preempt and 11.swap in the real engine: requests get the tokens they would get alone."""

import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig
from course_lib.errors import IntegrityError
from course_lib.practice.check import judge
from course_lib.practice.judge import registry
from course_lib.practice.judge.scripts import Arrival
from course_lib.practice.lessons.l11.fair_share import FairShare
from course_lib.practice.lessons.l11.fair_share_answers import FairByHalves, FairByQueues
from course_lib.practice.lessons.l11.fair_share_bound import BOUNDS
from course_lib.practice.lessons.l11.fair_share_game import serve_clients
from course_lib.practice.lessons.l11.preempt import make_room, make_room_again, make_room_in_turn
from course_lib.practice.lessons.l11.preempt_game import scheduler_with_preemption
from course_lib.practice.lessons.l11.swap_answers import BlockByBlock, SwapSpace, TokenByToken
from course_lib.practice.lessons.l11.swap_engine import engine_with_swap, places
from course_lib.practice.report.timeline_text import Timeline

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
from summing import VOCABULARY, Summing, oracle  # noqa: E402
from written_fair_share import NoCounters, PopsItself  # noqa: E402
from written_preempt import room_oldest, room_still_computed  # noqa: E402
from written_swap import ComputesFirst  # noqa: E402

MODEL = Summing(context=96)
ROOMS = {f.__name__: f for f in (make_room, make_room_again, make_room_in_turn)}
SPACES = {s.__name__: s for s in (SwapSpace, TokenByToken, BlockByBlock)}
POLICIES = {p.__name__: p for p in (FairShare, FairByQueues, FairByHalves)}


def workloads(seed, number=12):
    """(EngineConfig, [(prompt, params, client)], whether the third request is aborted), with little memory."""
    chance = random.Random(seed)
    for _ in range(number):
        size = chance.choice([1, 2, 3, 4])
        config = EngineConfig(
            block_size=size,
            num_blocks=-(-chance.randint(20, 36) // size),
            max_num_seqs=chance.choice([2, 3, 5]),
            max_num_batched_tokens=chance.choice([2, 5, 16]),
            prefix_caching=chance.random() < 0.5,
            watermark=0.0,
        )
        requests = [
            (
                [chance.randrange(VOCABULARY) for _ in range(chance.randint(1, 8))],
                SamplingParams(max_tokens=chance.randint(1, 10), n=chance.choice([1, 1, 2])),
                chance.choice("AB"),
            )
            for _ in range(6)
        ]
        yield config, requests, chance.random() < 0.3


def served(engine, requests, is_aborted):
    """Serves all requests, checks the ledger after every step, and compares each sequence with the oracle."""
    ids = [engine.add_request(prompt, params, client=client) for prompt, params, client in requests]
    outputs, steps = {}, 0
    while engine.has_unfinished():
        for output in engine.step():
            outputs[output.request_id, output.index] = output.token_ids
        engine.check_integrity()
        steps += 1
        if steps == 3 and is_aborted:
            engine.abort(ids[2])
        assert steps < 2000
    for name, (prompt, params, _) in zip(ids, requests):
        for index in range(params.n):
            if not (is_aborted and name == ids[2]):
                assert outputs[name, index] == oracle(MODEL, prompt, params, index)
    assert engine.allocator.num_free == engine.allocator.num_blocks and not engine.runner.saved
    return engine.metrics


@pytest.mark.parametrize("name", ROOMS)
def test_a_learners_make_room_in_the_engine(name):
    preemptions = [
        served(
            Engine(MODEL, config, scheduler=scheduler_with_preemption(ROOMS[name])), requests, is_aborted
        ).num_preemptions
        for config, requests, is_aborted in workloads(1)
    ]
    assert sum(preemptions) > 3


@pytest.mark.parametrize("name", SPACES)
def test_a_learners_swap_space_in_the_engine(name):
    moved = [
        served(
            engine_with_swap(SPACES[name], MODEL, replace(config, preemption="swap")), requests, is_aborted
        ).num_swapped_tokens
        for config, requests, is_aborted in workloads(2)
    ]
    assert sum(moved) > 20


@pytest.mark.parametrize("name", POLICIES)
def test_a_learners_fair_policy_in_the_engine(name):
    for config, requests, is_aborted in workloads(3):
        served(Engine(MODEL, replace(config, policy=POLICIES[name])), requests, is_aborted)


@pytest.mark.parametrize("name", POLICIES)
def test_two_waiting_clients_are_served_within_the_bound_of_the_paper_and_not_without_counters(name):
    for trial in BOUNDS:
        assert trial.outcome(POLICIES[name])[0].what == "within the bound"
        assert trial.outcome(NoCounters)[0].what == "beyond the bound"


@pytest.mark.parametrize("name", ["11.fair_share", "11.preempt", "11.swap"])
def test_the_reference_is_right_by_the_rules_of_the_game(name):
    exercise, kinds = registry.find(name), set()
    for trial in exercise.trials:
        expected = exercise.expected(trial)
        kinds.add(type(expected))
        if isinstance(expected, Timeline):
            assert not any("!" in cell for cells, _ in expected.columns for cell in cells.values())
        elif isinstance(expected, list):
            assert not expected[-1].ends or str(expected[-1]).startswith("LedgerError, and nothing has changed")
        else:
            assert expected.what == "within the bound"
    assert {Timeline, list} <= kinds


def test_a_policy_with_a_pop_of_its_own_is_right_too():
    assert judge(registry.find("11.fair_share"), PopsItself)


def test_the_counters_below_a_timeline_are_those_of_a_right_policy():
    made = []

    class Kept(FairShare):
        def __init__(self):
            super().__init__()
            made.append(self)

    arrivals = [
        Arrival(f"{client}{step}", step, prompt, 4, client)
        for client, step, prompt in (
            ("A", 0, 3),
            ("A", 1, 2),
            ("B", 4, 5),
            ("A", 9, 1),
            ("C", 12, 2),
            ("C", 30, 1),
            ("B", 31, 2),
        )
    ]
    line = serve_clients(Kept, arrivals, max_num_seqs=3, num_blocks=9, block_size=1)
    assert any("X" in cells.values() for cells, _ in line.columns)  # a request is preempted
    assert line.columns[-1][1] == {f"counter {client}": value for client, value in made[-1].counters.items()}


@pytest.mark.parametrize(
    "where, words",
    [
        ([[1, 1], [1, 1]], "keys and values"),
        ([[0, 0], [1, 1]], "values"),
        ([[1, 0], [1, 0]], "keys and values in layer 0"),
        ([[0, 1], [0, 0]], "keys in layer 1"),
    ],
)
def test_the_places_of_wrong_tokens_are_named(where, words):
    assert places(torch.tensor(where, dtype=torch.bool)) == words


def test_a_wrong_make_room_is_stopped_with_an_error():
    tight = list(workloads(1))
    for wrong, words in (
        (room_oldest, "in which it had its slots already"),
        (room_still_computed, "computed tokens whose blocks are freed"),
    ):
        with pytest.raises(IntegrityError, match=words):
            for config, requests, _ in tight:
                served(Engine(MODEL, config, scheduler=scheduler_with_preemption(wrong)), requests, False)


def test_a_wrong_order_of_swapping_gives_other_tokens():
    with pytest.raises(AssertionError):
        for config, requests, _ in workloads(2):
            served(
                engine_with_swap(ComputesFirst, MODEL, replace(config, preemption="swap", prefix_caching=False)),
                requests,
                False,
            )
