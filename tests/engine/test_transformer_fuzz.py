"""The same drawn days with a real transformer in float32, whose attention depends on every key too."""

from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from scenarios import days, live
from summing import VOCABULARY

from course_lib.models import ModelConfig, Transformer

EACH = 40
KINDS = [(policy, preemption) for policy in ("fcfs", "priority", "fair") for preemption in ("recompute", "swap")]


def small(num_heads=4, num_kv_heads=2, **more):
    """Random weights, large enough that texts do not fall into a loop at once and two tokens are hardly ever about
    as likely.
    """
    torch.manual_seed(0)
    made = (
        Transformer(
            ModelConfig(
                vocab_size=VOCABULARY,
                hidden_size=24,
                intermediate_size=32,
                num_layers=2,
                num_heads=num_heads,
                num_kv_heads=num_kv_heads,
                head_dim=6,
                context=96,
                **more,
            )
        )
        .eval()
        .requires_grad_(False)
    )
    for name, weight in made.named_parameters():
        if "norm" not in name:
            weight.normal_(std=1 if "embed" in name else (5 if "lm_head" in name else 1.5) / weight.shape[-1] ** 0.5)
    return made


MODELS = [small(), small(num_heads=3, num_kv_heads=1, qk_norm=True)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
