"""Whatever arrives when, every request writes what it writes alone: 2,100 drawn days of an engine, audited after
every step.
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, seed, settings
from scenarios import days, live
from summing import Summing

EACH = 350
MODEL = Summing()
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
KINDS = [(policy, preemption) for policy in ("fcfs", "priority", "fair") for preemption in ("recompute", "swap")]


@pytest.mark.parametrize("policy, preemption", KINDS)
def test_every_request_writes_what_it_writes_alone(policy, preemption):
    seen = Counter()

    @seed(KINDS.index((policy, preemption)))  # other days for each
    @settings(SETTINGS, max_examples=EACH)
    @given(day=days(policy=policy, preemption=preemption))
    def lived(day):
        live(MODEL, *day, seen=seen)

    lived()
    assert seen["scenarios"] >= EACH
    print(dict(seen))
    # A fuzz test that never meets what it is for would pass too.
    assert seen["preempted scenarios"] > EACH / 10 and seen["cached tokens"] > EACH
    assert seen["texts forked"] > EACH / 10 and seen["aborts"] > EACH / 50
    assert seen["swapped tokens" if preemption == "swap" else "recomputed tokens"] > EACH
