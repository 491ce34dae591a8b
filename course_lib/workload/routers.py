"""Which of several replicas a request goes to. A router sees the prompt and how many requests each replica has."""

from collections import OrderedDict

import numpy as np

from course_lib.errors import ParameterError
from course_lib.kvcache.prefix import hash_chain


class RandomRouter:
    """Any replica, with equal chances."""

    def __init__(self, seed=0):
        self._draw = np.random.default_rng(seed)

    def choose(self, token_ids, loads):
        """The number of a replica. token_ids: the prompt. loads: unfinished requests of each replica."""
        return int(self._draw.integers(len(loads)))


class LeastLoadedRouter:
    """The replica with the fewest unfinished requests; the first of several."""

    def choose(self, token_ids, loads):
        return loads.index(min(loads))


class PrefixAwareRouter:
    """The replica that was sent the longest beginning of this prompt, unless it is much busier than the others.

    The router remembers the hashes of the blocks of prompts that it sent to each replica, the last `capacity` of them;
    it does not ask the replicas what they still have. max_imbalance: how many more unfinished requests than the least
    loaded replica one may have and still be chosen. As SGLang's cache-aware router.
    """

    def __init__(self, block_size=16, *, capacity=100_000, max_imbalance=8):
        self.block_size, self.capacity, self.max_imbalance = block_size, capacity, max_imbalance
        self._sent = []  # of each replica: hash -> None, the one that was not used for longest first

    def choose(self, token_ids, loads):
        while len(self._sent) < len(loads):
            self._sent.append(OrderedDict())
        hashes = hash_chain(token_ids, self.block_size)
        allowed = [i for i, load in enumerate(loads) if load <= min(loads) + self.max_imbalance]
        chosen = min(allowed, key=lambda i: (-self._known(i, hashes), loads[i], i))
        sent = self._sent[chosen]
        for block_hash in reversed(hashes):  # the beginning of a prompt is forgotten after its end
            sent[block_hash] = None
            sent.move_to_end(block_hash)
        while len(sent) > self.capacity:
            sent.popitem(last=False)
        return chosen

    def _known(self, replica, hashes):
        """How many blocks of the prompt this replica was sent."""
        sent = self._sent[replica]
        return next((i for i, block_hash in enumerate(hashes) if block_hash not in sent), len(hashes))


ROUTERS = {"random": RandomRouter, "least_loaded": LeastLoadedRouter, "prefix_aware": PrefixAwareRouter}


def make_router(router, *, seed=0, block_size=16):
    """The object for a name of ROUTERS, or the object itself if it has `choose`. Raises ParameterError else."""
    if hasattr(router, "choose"):
        return router
    if router not in ROUTERS:
        raise ParameterError(
            f"router is {router!r}; it can be {', '.join(map(repr, ROUTERS))}, or an object with "
            f"choose(token_ids, loads)."
        )
    return {"random": lambda: RandomRouter(seed), "prefix_aware": lambda: PrefixAwareRouter(block_size)}.get(
        router, LeastLoadedRouter
    )()
