"""Real engines behind a router, fed in bursts: what a simulation of the same engines must find exactly.

    arrivals   burst of 8        burst of 8        ...
    router     8 choices         8 choices                   loads: the unfinished requests of each engine
    engines    until all ended   until all ended

All requests of a burst are routed before any engine makes a step, and the next burst comes when all have ended. So no
choice depends on how fast an engine is, and a simulated replica makes the same steps as a real one.
"""

from dataclasses import dataclass
from itertools import count, groupby

from course_lib.decoding.sampling import SamplingParams

from .checks import check_number, check_whole


@dataclass(frozen=True)
class Bursts:
    """`size` requests at the start, and `size` more every `gap` seconds, which is long enough for all to end."""

    size: int
    gap: float = 1e6

    def __post_init__(self):
        check_whole("size", self.size, "how many requests come together", instead=8)
        check_number("gap", self.gap, "the seconds between two bursts", above=0, instead=1e6)

    def times(self, generator):
        """Arrival times, without end."""
        for number in count():
            yield number // self.size * self.gap


def serve_routed(engines, feed, router):
    """Serves a Feed of Bursts on real engines. Returns the number of the engine that each request went to, in order.

    engines: Engine objects. feed: a Feed whose requests come in bursts, all of one time together. router: an object
    with choose(token_ids, loads). Each request generates its full length (ignore_eos).
    """
    chosen = []
    for _, burst in groupby(iter(feed.pop, None), key=lambda arrival: arrival.at):
        loads = [0] * len(engines)
        for arrival in burst:
            number = router.choose(arrival.token_ids, list(loads))
            loads[number] += 1
            chosen.append(number)
            engines[number].add_request(
                arrival.token_ids, SamplingParams(max_tokens=arrival.max_tokens, ignore_eos=True)
            )
        for engine in engines:
            while engine.has_unfinished():
                engine.step()
    return chosen
