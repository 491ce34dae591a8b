"""Each report of 12.spot_the_flaw has its flaw: without it, the simulator does not say what the report claims."""

from dataclasses import replace
from statistics import median

import pytest
from written_spot_the_flaw import FOUND

from course_lib.engine import summarise
from course_lib.errors import ParameterError
from course_lib.practice.lessons.l12.reports import (
    ALIKE,
    CHAT,
    COST,
    EAGER,
    FLAWS,
    LONG_PROMPTS,
    OWN,
    REPORTS,
    WHOLE,
    bench_report,
    served,
)  # fmt: skip
from course_lib.workload import Poisson
from course_lib.workload.prefixes import SharedPrefixes


def ttft(requests, p):
    return summarise(requests, percentiles=(p,)).ttft.percentiles[p]


def test_each_report_has_a_flaw_of_its_own_and_does_not_say_it():
    assert list(FOUND) == list(REPORTS) and len(set(FOUND.values())) == 7 and set(FOUND.values()) < set(FLAWS)
    for letter, name in FOUND.items():
        report = bench_report(letter)
        assert report.startswith(f"Report {letter}") and "Claim:" in report
        assert name not in report
    with pytest.raises(ParameterError, match="There is no report"):
        bench_report("H")


def test_a_visitors_who_do_not_wait_overload_the_server():
    requests = served(Poisson(60), 900)
    assert ttft(requests[450:], 50) > 10 * ttft(requests[:300], 50)


def test_b_the_queue_goes_on_growing():
    requests = served(Poisson(55), 1200)
    quarters = [median(one.ttft for one in requests[i : i + 400]) for i in (0, 400, 800)]
    assert quarters[0] * 3 < quarters[1] < quarters[2]


def test_c_the_difference_is_chance_and_the_server_keeps_up():
    found = [ttft(served(Poisson(20), 60, seed=seed), 99) for seed in range(8)]
    assert max(found) > 3 * min(found)
    long = served(Poisson(20), 600)
    assert median(one.ttft for one in long[300:]) < 1.3 * median(one.ttft for one in long[:300])


def test_d_chat_users_wait_longer_and_what_the_report_says_of_itself_is_true():
    alike = [served(Poisson(30), 800, lengths=ALIKE, seed=seed) for seed in range(2)]
    p99 = [ttft(requests, 99) for requests in alike]
    assert max(p99) < 1.1 * min(p99)
    halves = [median(one.ttft for one in half) for half in (alike[0][:400], alike[0][400:])]
    assert halves[1] < 1.1 * halves[0]
    assert ttft(served(Poisson(30), 800, lengths=CHAT), 99) > 2 * p99[0]


def test_e_a_full_step_gains_little():
    def step(cost, sequences):
        return cost.seconds(sequences, sequences, 600 * sequences, 0)

    assert step(EAGER, 1) / step(COST, 1) > 2.3 and step(EAGER, 256) / step(COST, 256) < 1.6


def test_f_by_one_definition_x_is_the_faster_server():
    x, y = (summarise(served(Poisson(4), 400, lengths=LONG_PROMPTS, cost=cost)) for cost in (COST, slower()))
    assert x.tpot.mean < y.tpot.mean < x.e2el.mean / 48


def slower():
    return replace(COST, per_step=COST.per_step + 1e-3)


def test_g_the_prompts_alone_make_the_difference():
    """Nothing else differs between the two versions."""
    whole, shared = (
        ttft(served(Poisson(10), 400, lengths=lengths, prefixes=prefixes), 50)
        for lengths, prefixes in ((WHOLE, None), (OWN, SharedPrefixes(num_tokens=1500)))
    )
    assert whole > 3 * shared
