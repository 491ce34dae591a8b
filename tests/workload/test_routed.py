"""Two real engines behind a router do what the simulator says: the same choices, the same tokens from the caches."""

import pytest
import torch

from course_lib.engine import Engine, EngineConfig
from course_lib.errors import ParameterError
from course_lib.models import load_model
from course_lib.workload import Bursts, CostModel, Feed, Fixed, Lengths, SharedPrefixes, Uniform, Workload, serve_routed
from course_lib.workload.routers import make_router
from course_lib.workload.simulate import simulate

PREFIXES = SharedPrefixes(num_tokens=64, count=5, share=0.8)
LENGTHS = Lengths(prompt=Uniform(8, 40), output=Uniform(2, 6))


@pytest.fixture(scope="module")
def model():
    return load_model("tale-draft", device="cpu", dtype=torch.float32)[0]


class Listening:
    """A router that writes down what it chooses."""

    def __init__(self, router):
        self.router, self.chosen = router, []

    def choose(self, token_ids, loads):
        self.chosen.append(self.router.choose(token_ids, loads))
        return self.chosen[-1]


def counts(metrics):
    return (
        metrics.num_requests, metrics.num_prompt_tokens, metrics.num_cached_prompt_tokens,
        metrics.num_scheduled_tokens, metrics.num_steps,
    )  # fmt: skip


@pytest.mark.parametrize("num_blocks", [200, 40], ids=["roomy", "evicting"])
@pytest.mark.parametrize("name", ["random", "least_loaded", "prefix_aware"])
def test_real_engines_find_in_their_caches_what_the_simulator_says(model, name, num_blocks):
    workload = Workload(Bursts(6), LENGTHS, num_requests=30, prefixes=PREFIXES)
    config = EngineConfig(block_size=8, num_blocks=num_blocks)
    engines = [Engine(model, config, trace=False) for _ in range(2)]
    simulated = Listening(make_router(name, block_size=8))
    chosen = serve_routed(engines, Feed(workload), make_router(name, block_size=8))
    result = simulate(workload, config, CostModel(per_step=0.01), replicas=2, router=simulated)
    assert chosen == simulated.chosen and len(chosen) == 30 and set(chosen) == {0, 1}
    assert [counts(engine.metrics) for engine in engines] == [counts(replica) for replica in result.replicas]
    assert sum(engine.metrics.num_cached_prompt_tokens for engine in engines) > 0
    if num_blocks == 200:  # nothing was evicted, so all that comes a second time to an engine is found
        assert all(engine.allocator.num_free == num_blocks for engine in engines)


def test_the_prefix_aware_router_finds_more_than_one_that_does_not_look(model):
    workload = Workload(Bursts(4), Lengths(prompt=Fixed(8), output=Fixed(2)), num_requests=24, prefixes=PREFIXES)
    found = {}
    for name in ("least_loaded", "prefix_aware"):
        engines = [Engine(model, EngineConfig(block_size=8, num_blocks=200), trace=False) for _ in range(2)]
        serve_routed(engines, Feed(workload), make_router(name, block_size=8))
        found[name] = sum(engine.metrics.num_cached_prompt_tokens for engine in engines)
    assert found["prefix_aware"] > found["least_loaded"]


def test_bursts_refuse_what_is_no_number_of_requests_or_seconds():
    assert [time for time, _ in zip(Bursts(2, 10.0).times(None), range(5))] == [0.0, 0.0, 10.0, 10.0, 20.0]
    for wrong in (dict(size=0), dict(size=2, gap=0)):
        with pytest.raises(ParameterError):
            Bursts(**wrong)
