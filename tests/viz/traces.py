"""Traces for the tests of views: of a memory, of a learner's allocator, of a scheduler."""

import random
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine import EngineConfig
from course_lib.engine.request import Request
from course_lib.engine.scheduler import Scheduler
from course_lib.kvcache import BlockAllocator, KVCacheManager
from course_lib.trace.records import Trace

sys.path.insert(0, str(Path(__file__).parents[1] / "trace"))
from random_life import random_life  # noqa: E402

WORDS = ["<bos>", " In", " a", " quiet", " harbour", "\n"]


def request(name, count, base=0):
    return SimpleNamespace(request_id=name, token_ids=[base + at for at in range(count)])


def story():
    """12 blocks of 4: prefill, prefix hit, fork, copy-on-write, end, eviction, out of memory."""
    trace = Trace()
    manager = KVCacheManager(BlockAllocator(12, 4, trace=trace))

    def write(r, count):
        trace.next_step()
        slots = manager.allocate_slots(r, count)
        if slots is not None:
            manager.commit(r, manager.table(r).num_tokens)
        return slots

    one, two = request(0, 11), request(1, 9)
    write(one, 10)  # blocks 0 1 2, the last with 2 tokens
    write(two, 1)  # 8 of its tokens are in the cache
    trace.next_step()
    three = SimpleNamespace(request_id=2, token_ids=one.token_ids[:10] + [77])
    manager.fork(one, three)
    write(three, 1)  # copy-on-write of block 2
    trace.next_step()
    manager.free(one)
    write(request(3, 36, 100), 36)  # 9 blocks, 8 are free
    trace.next_step()
    manager.free(two)
    manager.free(three)  # no table holds blocks 0 and 1 now, and both stay cached
    write(request(4, 44, 200), 44)  # 11 blocks: 10 are free, one is evicted
    trace.text(0, [WORDS[at % 6] for at in range(11)])
    return trace


@cache
def large_memory():
    """1,000 steps, 4,096 blocks, 36 requests at once."""
    trace = Trace()
    random_life(1000, num_blocks=4096, size=16, requests=36, ends=0.01, trace=trace)
    return trace


class Plain:
    """A learner's allocator: a list. `again` hands out what is in use already."""

    def __init__(self, num_blocks, block_size, again=False):
        self.num_blocks, self.block_size, self.again = num_blocks, block_size, again
        self.free_ids, self.refs = list(range(num_blocks)), {}

    num_free = property(lambda self: len(self.free_ids))

    def allocate(self, n=1):
        if n > len(self.free_ids):
            return None
        blocks = self.free_ids[:n] if self.again else [self.free_ids.pop(0) for _ in range(n)]
        self.refs.update(dict.fromkeys(blocks, 1))
        return blocks

    def fork(self, block_ids):
        for block in block_ids:
            self.refs[block] += 1

    def free(self, block_ids):
        for block in block_ids:
            self.refs[block] -= 1
            if not self.refs[block]:
                self.free_ids.append(block)

    def ref_count(self, block):
        return self.refs.get(block, 0)


def scheduled():
    """A scheduler's records without memory: a prompt in two chunks, a preemption and a recompute, an abort."""
    trace = Trace()
    trace.add("engine", policy="FCFS", max_num_seqs=2, max_num_batched_tokens=8)
    trace.add("queue", request="a", client="ann", priority=0, num_tokens=10)
    trace.add("queue", request="b", client="bob", priority=0, num_tokens=3)
    trace.add("schedule", requests=["a"], starts=[0], counts=[8])
    trace.next_step()
    trace.add("schedule", requests=["a", "b"], starts=[8, 0], counts=[2, 3])
    trace.next_step()
    trace.add("queue", request="c", client="ann", priority=0, num_tokens=5)
    trace.add("preempt", request="b", how="recompute", num_tokens=3)
    trace.add("schedule", requests=["a"], starts=[10], counts=[1])
    trace.next_step()
    trace.add("finish", request="c", reason="abort")
    trace.add("schedule", requests=["a", "b"], starts=[11, 0], counts=[1, 4])
    trace.add("finish", request="a", reason="length")
    trace.next_step()
    trace.add("schedule", requests=["b"], starts=[4], counts=[1])
    return trace


class Life:
    """The course's scheduler and ledger without a model: every token is a number at random.

    `steps` holds what was so in each step.
    """

    def __init__(
        self,
        seed=0,
        num_requests=12,
        num_steps=60,
        num_blocks=40,
        every=2,
        prompts=(2, 30),
        texts=(1, 20),
        n=1,
        clients="ab",
        aborts=0.0,
        **config,
    ):
        self.draw, self.trace, self.requests, self.steps = random.Random(seed), Trace(), [], []
        config = {"block_size": 4, "max_num_seqs": 5, "max_num_batched_tokens": 16, "watermark": 0.0} | config
        manager = KVCacheManager(BlockAllocator(num_blocks, config["block_size"], trace=self.trace))
        self.scheduler = Scheduler(EngineConfig(num_blocks=num_blocks, **config), manager, trace=self.trace)
        for step in range(num_steps):
            while num_requests and len(self.requests) <= step // every:
                num_requests -= 1
                self.come(prompts, texts, n, clients)
            for request in [one for one in self.requests if one.finish_reason is None and self.draw.random() < aborts]:
                self.scheduler.finish(request, "abort")
            self.step()

    def come(self, prompts, texts, n, clients):
        ids = [self.draw.randrange(3) for _ in range(self.draw.randrange(*prompts))]
        params = SamplingParams(max_tokens=self.draw.randrange(*texts), ignore_eos=True, n=n, temperature=float(n > 1))
        at = len(self.requests)
        self.requests.append(
            Request(str(at), ids, params, priority=at % 3, client=clients[at % len(clients)], arrival=at)
        )
        self.scheduler.add(self.requests[-1])

    def step(self):
        step = self.scheduler.schedule()
        now = {sequence.request_id: (sequence.num_tokens, sequence.start) for sequence in step.scheduled}
        running = dict(self.scheduler.running)
        states = {
            request.request_id: (request.status, request.num_computed_tokens)
            for request in self.requests
            if request.finish_reason is None
        }
        self.scheduler.update(step)
        for request in [running[sequence.request_id] for sequence in step.scheduled if sequence.num_choices]:
            texts = [request]
            while request.num_sequences > 1:
                texts.append(request.fork(len(texts)))
                self.scheduler.fork(request, texts[-1])
                self.requests.append(texts[-1])
            for text in texts:
                text.append(self.draw.randrange(3))
                if text.finish_reason:
                    self.scheduler.finish(text, text.finish_reason)
        self.steps.append(
            (
                now,
                states,
                dict(getattr(self.scheduler.waiting, "counters", {})),
                self.scheduler.manager.allocator.num_free,
            )
        )
        self.trace.next_step()


@cache
def short_life():
    """Preemption, swapping, three priorities, two clients, in 40 steps."""
    return Life(3, num_steps=40, num_blocks=20, policy="priority", preemption="swap").trace


@cache
def long_life():
    """300 requests in 1,000 steps, 64 at once."""
    sizes = {"every": 1, "prompts": (20, 200), "texts": (50, 300), "clients": "abc"}
    limits = {"block_size": 16, "max_num_seqs": 64, "max_num_batched_tokens": 256}
    return Life(1, 300, 1000, 1024, **sizes, **limits).trace


@cache
def windowed_memory():
    """60 steps of requests that see 8 tokens and the first 3: blocks of 4 fall out of the middle of their tables."""
    trace = Trace()
    random_life(60, num_blocks=24, size=4, requests=4, seed=3, trace=trace, window=8, sinks=3)
    return trace
