"""The same drawn days with a real transformer in float32, whose attention depends on every key too."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, seed, settings
from random_models import model
from scenarios import days, live
from summing import VOCABULARY

EACH = 40
KINDS = [(policy, preemption) for policy in ("fcfs", "priority", "fair") for preemption in ("recompute", "swap")]


MODELS = [
    model(vocab_size=VOCABULARY, context=96),
    model(num_heads=3, num_kv_heads=1, qk_norm=True, vocab_size=VOCABULARY, context=96),
]


@pytest.mark.parametrize("policy, preemption", KINDS)
def test_a_transformer_writes_in_a_crowd_what_it_writes_alone(policy, preemption):
    seen, number = Counter(), KINDS.index((policy, preemption))

    @seed(number)
    @settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, max_examples=EACH)
    @given(day=days(policy=policy, preemption=preemption))
    def lived(day):
        live(MODELS[number % 2], *day, seen=seen)

    lived()
    assert seen["scenarios"] >= EACH and seen["preemptions"] > 5
