"""Scripts of arrivals and their timelines: how a trace is shown, where two differ, how a script is made smaller."""

import random

import pytest

from course_lib.engine import Scheduler
from course_lib.errors import IntegrityError, ParameterError
from course_lib.practice.fixtures.tiny_server import alone
from course_lib.practice.judge import scripts
from course_lib.practice.judge.replay import replay
from course_lib.practice.judge.scripts import Arrival, Script, random_script, script_trial
from course_lib.practice.lessons.l10.continuous_loop import ContinuousLoop
from course_lib.practice.lessons.l10.continuous_loop_game import prompt_of, serve_loop
from course_lib.practice.report.timeline_text import WIDEST, Timeline, both, difference

TWO = [Arrival("a", prompt=4, max_tokens=3), Arrival("b", step=1, prompt=6, max_tokens=2)]


def cells(line):
    return [column[0] for column in line.columns]


def test_the_timeline_of_a_scheduler_on_a_script():
    assert cells(replay(Scheduler, TWO, max_num_seqs=1, num_blocks=8)) == [
        {"a": "P4"},
        {"a": "D", "b": "W"},
        {"a": "D", "b": "W"},
        {"a": "F", "b": "P6"},
        {"b": "D"},
        {"b": "F"},
    ]


def test_a_chunk_of_a_prompt_shows_its_number_of_tokens():
    assert cells(replay(Scheduler, TWO, max_num_batched_tokens=4, num_blocks=8))[:4] == [
        {"a": "P4"},
        {"a": "D", "b": "P3"},
        {"a": "D", "b": "P3"},
        {"a": "F", "b": "D"},
    ]


@pytest.mark.parametrize("how, seen", [("recompute", "P3 D X W W P5 D D F"), ("swap", "P3 D S S S D D D F")])
def test_a_preempted_request_is_shown(how, seen):
    script = [Arrival("a", prompt=3, max_tokens=5), Arrival("b", prompt=3, max_tokens=5)]
    line = replay(Scheduler, script, num_blocks=5, block_size=2, preemption=how)
    assert " ".join(column["b"] for column in cells(line)) == seen


def test_an_aborted_request_is_shown_at_once():
    line = replay(Scheduler, [Arrival("a", max_tokens=9, abort=2), Arrival("b", max_tokens=4, abort=1)], max_num_seqs=1)
    assert cells(line) == [{"a": "P1", "b": "W"}, {"a": "D", "b": "A"}, {"a": "A"}]


def test_arrivals_may_be_an_iterator_and_a_scheduler_any_class():
    class Other:
        def __init__(self, *args, **options):
            self.inner = Scheduler(*args, **options)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    assert replay(Other, iter(TWO), num_blocks=8) == replay(Scheduler, TWO, num_blocks=8)


def test_two_requests_of_one_name_are_refused():
    with pytest.raises(ParameterError, match="two of these arrivals are called 'a'"):
        replay(Scheduler, [Arrival("a"), Arrival("a", step=1)])


def test_a_script_that_can_never_be_served_is_refused():
    with pytest.raises(ParameterError, match="need 3 blocks of 4 tokens, and there are 2"):
        replay(Scheduler, [Arrival("a", prompt=9)], num_blocks=2)


def test_a_step_above_the_budget_is_refused():
    class Generous(Scheduler):
        def schedule(self):
            step = super().schedule()
            step.scheduled += step.scheduled
            return step

    with pytest.raises(IntegrityError, match="schedule\\(\\) chose 6 tokens, and the budget is 4"):
        replay(Generous, [Arrival("a", prompt=3)], max_num_batched_tokens=4)


def test_tokens_without_slots_are_refused():
    class Hasty(Scheduler):
        def schedule(self):
            step = super().schedule()
            step.scheduled[:] = [one._replace(num_tokens=one.num_tokens + 1) for one in step.scheduled]
            return step

    with pytest.raises(IntegrityError, match="gives a 4 tokens after 0 computed ones, and it has slots for 3"):
        replay(Hasty, [Arrival("a", prompt=3)])


def test_the_ledger_is_checked_after_each_step_unless_check_is_false(monkeypatch):
    checks = []
    monkeypatch.setattr(Scheduler, "check_integrity", lambda self: checks.append(self))
    assert len(replay(Scheduler, TWO, num_blocks=8, check=False).columns) == 4 and checks == []
    replay(Scheduler, TWO, num_blocks=8)
    assert len(checks) == 3


def test_smaller_scripts_keep_a_token_for_each_request_and_abort_after_arrival():
    script = Script((Arrival("a", 6, 4, 2, abort=9), Arrival("b")), {"max_num_seqs": 3})
    found = list(script.smaller({"max_num_seqs": 2}))
    arrivals = [arrival for other in found for arrival in other.arrivals]
    assert (
        min(a.prompt for a in arrivals) == min(a.max_tokens for a in arrivals) == 1
        and min(a.step for a in arrivals) == 0
    )
    assert min(a.abort - a.step for a in arrivals if a.abort is not None) == 1 and any(
        a.name == "a" and a.abort is None for a in arrivals
    )
    assert {other.setup["max_num_seqs"] for other in found} == {2, 3} and {len(other.arrivals) for other in found} == {
        1,
        2,
    }


def test_only_so_many_smaller_scripts_are_tried(monkeypatch):
    monkeypatch.setattr(scripts, "SMALLER_SCRIPTS", 3)
    tried = []
    script = Script(tuple(Arrival(name) for name in "abcdef"))
    trial = script_trial(
        lambda answer, script: replay(answer, script.arrivals), script, "{answer} {arrivals}{setup}", "Mine"
    )
    assert trial.smaller(lambda other: tried.append(other), None) is trial and len(tried) == 3


def test_the_first_step_that_differs_is_marked_and_described():
    mine, theirs = Timeline(), Timeline()
    for line, last in ((mine, "P3"), (theirs, "W")):
        line.column({"a": "P4", "b": "W"})
        line.column({"a": "D", "b": last})
    assert both(mine, theirs) == (
        "step   0 [1]\n  a   P4   D\n> b    W  P3",
        "step   0 [1]\n  a   P4   D\n> b    W   W",
    )
    assert difference(mine, theirs).startswith(
        "Step 1 is the first that differs. In yours `b` waits; expected is that it computes 3 prompt tokens."
    )
    assert mine.first_difference(mine) is None and difference(mine, mine) == ""


def test_every_sign_of_a_timeline_is_said_in_words_and_has_a_legend():
    mine, theirs = (
        Timeline(numbers={"D": "writes token {n}", "!": "reads {n} wrong"}, signs={".": "ends"}) for _ in "ab"
    )
    mine.column({"a": "D8.", "b": "D4"})
    theirs.column({"a": "D8", "b": "!4"})
    text = difference(mine, theirs)
    assert "In yours `a` writes token 8; expected is that it writes token 8 and ends." in text
    assert "`b` reads 4 wrong; expected is that it writes token 4" in text
    assert text.endswith("(D decodes, !n reads n wrong, . ends)")


def test_missing_and_additional_steps_are_described():
    long, short = Timeline([({"a": "P4"}, {}), ({"a": "D"}, {})]), Timeline([({"a": "P4"}, {})])
    assert "Step 1 is missing: yours ends before it" in difference(long, short)
    assert "Step 1 is one too many" in difference(short, long)
    assert "[1]" in both(long, short)[1]


def test_a_long_timeline_keeps_its_end_and_stays_narrow():
    line = Timeline([({"request": f"P{100 + at}"}, {"free": at}) for at in range(50)])
    text = line.text()
    assert (
        all(len(row) <= WIDEST + 2 for row in text.split("\n")) and text.split("\n")[0].endswith(" 49") and "…" in text
    )


def test_a_script_is_made_as_small_as_possible():
    class NoLimit(Scheduler):
        def _is_below_max_num_seqs(self, request):
            return True

    def play(answer, script):
        return replay(answer, script.arrivals, **script.setup)

    script = Script(
        (Arrival("a", 1, 5, 4), Arrival("b", 2, 3, 2), Arrival("c", 2, 6, 1)), {"max_num_seqs": 2, "num_blocks": 20}
    )
    trial = script_trial(play, script, "replay({answer}, {arrivals}, {setup})", "Mine", least={"num_blocks": 20})

    def fails(other):
        got = other.outcome(NoLimit)[0]
        return None if got == other.outcome(Scheduler)[0] else got

    small = trial.smaller(fails, trial.outcome(NoLimit)[0])
    assert small.story == [
        "a = Arrival('a')",
        "b = Arrival('b')",
        "replay(Mine, [a, b], max_num_seqs=1, num_blocks=20)",
    ]
    assert small.size < trial.size


def test_the_reference_of_the_loop_gives_the_tokens_of_generate_naive():
    draw = random.Random(1)
    for _ in range(20):
        script = random_script(
            draw, {"max_num_seqs": draw.randint(1, 4), "num_blocks": draw.randint(5, 12), "block_size": 4}
        )
        written = {arrival.name: [] for arrival in script.arrivals}
        for column in cells(serve_loop(ContinuousLoop, script.arrivals, **script.setup)):
            for name, cell in column.items():
                if cell[0] in "PD":
                    written[name].append(int(cell[1:]))
        for number, arrival in enumerate(script.arrivals):
            assert written[arrival.name] == alone(tuple(prompt_of(number, arrival.prompt)), arrival.max_tokens)
