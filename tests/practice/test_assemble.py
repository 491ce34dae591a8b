"""course assemble: every way serves the tokens of generate_naive on whose parts it says, or says which it does not."""

import json
from types import SimpleNamespace

import pytest
import random_models
import torch

from course_lib.decoding import generate_naive
from course_lib.models import load_model
from course_lib.practice import load_parts
from course_lib.practice.assembly import assemble as assembling
from course_lib.practice.assembly.assemble import Score, ScoreBoard
from course_lib.practice.assembly.peak import PeakTensors
from course_lib.practice.assembly.ways import Load, make_load, preempting, ways
from course_lib.practice.parts import Part, Parts
from course_lib.practice.report import score_board

STEPS = ways(kernels=False)
LOAD = Load([[(3 + i + 5 * at) % 23 for at in range(7 + 4 * i)] for i in range(6)], [12, 9, 9, 5, 9, 7])


@pytest.fixture(scope="module")
def served():
    model = random_models.model()
    expected = [generate_naive(model, ids, params) for ids, params in zip(LOAD.prompts, LOAD.params)]
    assert max(len(set(ids)) for ids in expected) > 3  # a model that repeats one token would hide a wrong position
    return model, expected


def score(served, name, parts, limit_s=60.0):
    [step] = [step for step in STEPS if step.name == name]
    with torch.inference_mode():
        return assembling._score(step, parts, served[0], LOAD, served[1], limit_s)


def yours(exercise_id, value, name):
    """Parts in which one is the learner's."""
    uses = next(step.uses for step in STEPS if step.name == name)
    others = [part for part in load_parts(*uses).found if part.exercise_id != exercise_id]
    return Parts([Part(exercise_id, value), *others])


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_way_serves_the_tokens_of_generate_naive_on_the_references(served, step):
    found = score(served, step.name, load_parts(*step.uses) if step.uses else Parts([]))
    assert (found.problem, found.wrong) == ("", ())
    assert found.tokens_per_second > 0 and found.seconds > 0 and found.peak_bytes > 0


def counting_preemptions():
    """(parts, counts): how many requests each call of 11.preempt preempted is added to counts."""
    parts = load_parts("04.allocator", "11.preempt", "11.chunked_prefill", "11.priority")
    counts, make_room = [], parts["11.preempt"]

    def counted(request, n, running, waiting, manager):
        before = len(running)
        slots = make_room(request, n, running, waiting, manager)
        counts.append(before - len(running))
        return slots

    parts["11.preempt"] = counted
    return parts, counts


def test_half_of_the_memory_means_preemption_and_less_memory(served):
    parts, counts = counting_preemptions()
    few = score(served, "preempting", parts)
    assert sum(counts) > 0 and few.peak_bytes < score(served, "engine", parts).peak_bytes


def test_the_few_requests_of_the_quick_board_are_preempted_too():
    model, tokenizer = load_model("tale")
    parts, counts = counting_preemptions()
    preempting(parts, model, make_load(tokenizer, assembling.FEWEST, answers=0.5))()
    assert sum(counts) > 0


def test_wrong_tokens_are_counted_by_request(served):
    def generate(model, token_ids, max_tokens):
        new = generate_naive(model, token_ids, LOAD.params[0])
        return new if len(token_ids) == len(LOAD.prompts[0]) else [*new, 0]

    found = score(served, "naive", yours("01.generate", generate, "naive"))
    assert found.wrong == (1, 2, 3, 4, 5) and found.problem == ""


def test_code_that_raises_or_never_ends_stops_its_own_way_alone(served):
    def raises(model, token_ids, max_tokens):
        return token_ids[99]

    found = score(served, "naive", yours("01.generate", raises, "naive"))
    assert found.tokens_per_second is None
    assert found.problem == "IndexError: list index out of range\nline 2 of raises:  return token_ids[99]"

    def endless(model, token_ids, max_tokens):
        while True:
            pass

    found = score(served, "naive", yours("01.generate", endless, "naive"), limit_s=0.2)
    assert found.problem.startswith("stopped: not done after 0.2 s. Does the loop end?")


def test_the_board_is_written_beside_the_progress(monkeypatch, home):
    small = random_models.model(vocab_size=300)
    tokenizer = SimpleNamespace(encode=lambda text: list(text.encode()[:9]))
    monkeypatch.setattr("course_lib.models.load_model", lambda name, dtype: (small, tokenizer))
    monkeypatch.setattr(assembling, "MOST", 2)
    told = []
    board = assembling.assemble("small", tell=told.append)
    assert [score.wrong for score in board.scores] == [()] * 8 and board.notices == [] and board.num_requests == 2
    assert told[1] == "1 of 8: naive, computes the whole sequence for each token" and len(told) == 9
    assert json.loads((home / "assemble.json").read_text()) == json.loads(json.dumps(board.as_dict()))
    assert "course_lib alone" in str(board) and "<table" in board._repr_html_()


def test_a_folder_that_cannot_be_written_costs_only_the_file(monkeypatch, home):
    home.write_text("a file where the folder should be")
    board = ScoreBoard("small", "here", "now", 1, 1, 1, {}, [])
    [notice] = assembling._saved(board)
    assert "could not be written" in notice and "COURSE_HOME" in notice


def test_the_table_says_whose_each_part_is_and_what_went_wrong():
    scores = [
        Score("naive", "slow", ("01.generate",), 4.0, 10.0, 1_000_000),
        Score("cached", "keeps", ("02.generate_cached", "02.cache"), 1.0, 40.0, 2_500_000, wrong=(0, 3)),
        Score("paged", "in blocks", ("04.allocator",), problem="IndexError: no such block"),
    ]
    parts = {
        "01.generate": "",
        "02.generate_cached": "not passed yet",
        "02.cache": "",
        "04.allocator": "not passed yet",
    }
    board = ScoreBoard("tale", "a laptop", "now", 4, 9, 40, parts, scores)
    said = score_board.text(board, width=200)
    lines = said.splitlines()
    naive, cached, paged = ([cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│"))
    assert naive == ["naive", "10", "1.0", "1.0", "the same", "yours: 01.generate"]
    assert cached == ["cached", "40", "4.0", "2.5", "2 of 4 differ", "yours: 02.cache; reference: 02.generate_cached"]
    assert paged == ["paged", "–", "–", "–", "stopped", "reference: 04.allocator"]
    assert (
        "paged stopped: IndexError: no such block" in lines
        and "tokens of requests 0, 3 are not" in said
        and "course check 02.cache" in said
    )
    assert "The reference's: 02.generate_cached, 04.allocator (not passed yet)." in lines
    narrow = score_board.text(board, width=80)  # ids are folded there, and never cut
    assert "…" not in narrow and max(map(len, narrow.partition("4 requests")[0].splitlines())) <= 80


def test_the_meter_counts_what_is_alive_at_once_and_no_weights_or_views():
    weight = torch.zeros(1000)
    with PeakTensors([weight]) as meter:
        weight[:500] + 1.0  # 2,000 bytes, gone at once
        held = torch.zeros(250)  # 1,000 bytes
        held.view(25, 10)[0].add_(1.0)
        more = held * 2.0  # 1,000 bytes more
        del more
        held + 1.0
    assert meter.peak == 2000
    with PeakTensors() as meter:
        held = [torch.zeros(250) for _ in range(3)]
        del held[1:]
        torch.zeros(1000)
    assert meter.peak == 5000
