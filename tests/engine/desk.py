"""A scheduler without a model: requests are added by name, and each step is checked against the rules."""

import pickle

from hypothesis import settings

from course_lib.decoding import SamplingParams
from course_lib.engine import EngineConfig, Request, Scheduler
from course_lib.kvcache import BlockAllocator, KVCacheManager

SETTINGS = settings(deadline=None, derandomize=True, database=None)


class Desk:
    """A scheduler and its ledger; the model is a hand that writes the next number."""

    def __init__(
        self,
        num_blocks=16,
        block_size=4,
        *,
        max_num_seqs=8,
        max_num_batched_tokens=64,
        watermark=0.0,
        policy=None,
        **config,
    ):
        if isinstance(policy, str) or policy is None:
            config["policy"] = policy or "fcfs"
        self.config = EngineConfig(
            block_size=block_size,
            num_blocks=num_blocks,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            watermark=watermark,
            **config,
        )
        allocator = BlockAllocator(num_blocks, block_size)
        manager = KVCacheManager(allocator, prefix_caching=self.config.prefix_caching, eviction=self.config.eviction)
        self.s = Scheduler(self.config, manager, policy=None if isinstance(policy, str) else policy)
        self.clock = self.written = 0
        self.requests = {}

    def add(self, name, prompt, answer=4, **more):
        self.clock += 1
        tokens = [self.clock * 1000 + i for i in range(prompt)] if isinstance(prompt, int) else prompt
        request = Request(name, tokens, SamplingParams(max_tokens=answer), **{"arrival": float(self.clock), **more})
        self.s.add(request)
        self.requests[name] = request
        return request

    def step(self):
        """One step; the Step. Every rule is checked that a step has to keep."""
        step = self.s.schedule()
        assert (
            step.scheduled
            and step.num_tokens <= self.config.max_num_batched_tokens
            and len(self.s.running) <= self.config.max_num_seqs
        )
        assert all(s.num_tokens >= 1 for s in step.scheduled)
        assert len(self.names(step)) == len(set(self.names(step)))
        assert pickle.loads(pickle.dumps(step)) == step  # whole in itself: it names no Request and no manager
        self.s.update(step)
        for request in map(self.requests.get, self.names(step)):
            if request.num_computed_tokens == request.num_tokens:
                self.written += 1
                request.append(self.written)
                if request.finish_reason:
                    self.s.finish(request, request.finish_reason)
        self.s.check_integrity()
        return step

    def plan(self):
        """One step as {name: tokens}."""
        return {s.request_id: s.num_tokens for s in self.step().scheduled}

    def names(self, step):
        return [s.request_id for s in step.scheduled]
