"""Wrong answers to 18.assemble: the engine in parts, and one of them replaced."""

from dataclasses import replace

import torch

from course_lib.decoding.generate import stop_ids
from course_lib.engine import EngineConfig, Scheduler
from course_lib.engine.policies import FCFS
from course_lib.kvcache import BlockAllocator, KVCacheManager, KVPool, PagedCache


class Parts:
    """The right engine in parts. A wrong answer replaces one of them."""

    def __init__(self, model, config, *, allocator, cache, scheduler, policy):
        self.config = config
        ledger = self.ledger(allocator, config)
        pool = KVPool(model.config, config.num_blocks, config.block_size, model.device, model.dtype)
        self.model, self.cache, self.manager = model, cache(pool, ledger), self.managed(ledger, config)
        self.scheduler = self.scheduled(scheduler, self.config_of(config), policy)

    def ledger(self, allocator, config):
        return allocator(config.num_blocks, config.block_size)

    def managed(self, ledger, config):
        return KVCacheManager(ledger, prefix_caching=config.prefix_caching)

    def config_of(self, config):
        return config

    def scheduled(self, scheduler, config, policy):
        return scheduler(config, self.manager, policy=policy())

    def add_request(self, request):
        request.stop_ids = self.stops(request)
        self.scheduler.add(request)

    def stops(self, request):
        return frozenset(stop_ids(self.model.config, request.params))

    def has_unfinished(self):
        return bool(self.scheduler.running) or len(self.scheduler.waiting) > 0

    def step(self):
        step = self.scheduler.schedule()
        if self.is_idle(step):
            return []
        chosen = self.choose(step, self.run(step))
        return [self.end(request, new) for request, new in self.scheduler.update(step, chosen)]

    def is_idle(self, step):
        return not step.scheduled

    def run(self, step):
        """The likeliest token after each row of the flat batch."""
        tables = [self.manager.table(self.scheduler.running[one.request_id]) for one in step.scheduled]
        counts = [one.num_tokens for one in step.scheduled]
        positions = self.positions(self.cache.begin_step(tables, counts), counts)
        flat = torch.tensor([token for one in step.scheduled for token in one.token_ids], dtype=torch.int64)
        return self.model(flat, positions, self.cache).argmax(1).tolist()

    def positions(self, positions, counts):
        return positions

    def choose(self, step, best):
        rows = self.rows([one.num_tokens for one in step.scheduled])
        return {one.request_id: [best[row]] for one, row in zip(step.scheduled, rows)}

    def rows(self, counts):
        return [sum(counts[: at + 1]) - 1 for at in range(len(counts))]

    def end(self, request, new):
        if request.finish_reason:
            self.scheduler.finish(request, request.finish_reason)
        return request.request_id, new[-1], request.finish_reason


class OwnScheduler(Parts):
    def scheduled(self, scheduler, config, policy):
        return Scheduler(config, self.manager, policy=policy())


class ConfigsPolicy(Parts):
    def scheduled(self, scheduler, config, policy):
        return scheduler(config, self.manager)


class OwnPolicy(Parts):
    def scheduled(self, scheduler, config, policy):
        return scheduler(config, self.manager, policy=FCFS())


class OwnAllocator(Parts):
    def ledger(self, allocator, config):
        return BlockAllocator(config.num_blocks, config.block_size)


class OwnCache(Parts):
    def __init__(self, model, config, *, cache, **parts):
        super().__init__(model, config, cache=PagedCache, **parts)


class OtherDtype(Parts):
    """A pool in float32, whatever the model computes in."""

    def __init__(self, model, config, *, cache, **parts):
        def in_float32(pool, ledger):
            return cache(KVPool(model.config, config.num_blocks, config.block_size, "cpu", torch.float32), ledger)

        super().__init__(model, config, cache=in_float32, **parts)


class TwoAllocators(Parts):
    def managed(self, ledger, config):
        return KVCacheManager(type(ledger)(config.num_blocks, config.block_size), prefix_caching=config.prefix_caching)


class AlwaysShares(Parts):
    def managed(self, ledger, config):
        return KVCacheManager(ledger)


class NeverShares(Parts):
    def managed(self, ledger, config):
        return KVCacheManager(ledger, prefix_caching=False)


class DefaultConfig(Parts):
    def config_of(self, config):
        return EngineConfig(num_blocks=config.num_blocks, block_size=config.block_size, watermark=0.0)


class NoStops(Parts):
    def stops(self, request):
        return request.stop_ids


class ModelsStops(Parts):
    def stops(self, request):
        return frozenset(self.model.config.eos_token_ids)


class OnlyRunning(Parts):
    def has_unfinished(self):
        return bool(self.scheduler.running)


class OnlyWaiting(Parts):
    def has_unfinished(self):
        return len(self.scheduler.waiting) > 0


class NeverFinishes(Parts):
    def end(self, request, new):
        return request.request_id, new[-1], request.finish_reason


class FinishesLate(NeverFinishes):
    def step(self):
        for request in [one for one in self.scheduler.running.values() if one.finish_reason]:
            self.scheduler.finish(request, request.finish_reason)
        return super().step()


class SaysNoReason(Parts):
    def end(self, request, new):
        return (*super().end(request, new)[:2], None)


class FromZero(Parts):
    def positions(self, positions, counts):
        return torch.cat([torch.arange(n) for n in counts])


class TokensFromTheEnd(Parts):
    """Takes the last tokens of a request, whatever is computed of it."""

    def run(self, step):
        ends = [
            one._replace(token_ids=self.scheduler.running[one.request_id].token_ids[-one.num_tokens :])
            for one in step.scheduled
        ]
        return super().run(replace(step, scheduled=ends))


class CountsThrough(Parts):
    def positions(self, positions, counts):
        return torch.arange(sum(counts))


class FirstRows(Parts):
    def rows(self, counts):
        return [sum(counts[:at]) for at in range(len(counts))]


class RowOfRequest(Parts):
    def rows(self, counts):
        return list(range(len(counts)))


class RowsOfAll(Parts):
    """Takes the chosen rows in turn for those that have a choice, and has chosen one for each."""

    def choose(self, step, best):
        rows = self.rows([one.num_tokens for one in step.scheduled])
        return {name: [best[row]] for name, row in zip((s.request_id for s in step.scheduled if s.num_choices), rows)}


class SkipsChunks(Parts):
    """Does not call the model where no sequence has a choice."""

    def run(self, step):
        return super().run(step) if any(one.num_choices for one in step.scheduled) else [0] * 999


class RoundedLogits(Parts):
    def run(self, step):
        model = self.model
        self.model = lambda *given: model(*given).half()
        try:
            return super().run(step)
        finally:
            self.model = model


class TablesAsTheyRun(Parts):
    """Block tables in the order in which requests run."""

    def run(self, step):
        begin, running = self.cache.begin_step, self.scheduler.running
        scheduled = {one.request_id for one in step.scheduled}
        tables = [self.manager.table(request) for name, request in running.items() if name in scheduled]
        self.cache.begin_step = lambda _, counts: begin(tables, counts)
        try:
            return super().run(step)
        finally:
            self.cache.begin_step = begin


class OneByOne(Parts):
    def run(self, step):
        best = []
        for one in step.scheduled:
            table = self.manager.table(self.scheduler.running[one.request_id])
            positions = self.cache.begin_step([table], [one.num_tokens])
            best += self.model(torch.tensor(one.token_ids), positions, self.cache).argmax(1).tolist()
        return best


class TellsChunks(Parts):
    """Returns what it chose, also in the middle of a prompt."""

    def step(self):
        step = self.scheduler.schedule()
        if not step.scheduled:
            return []
        chosen = self.choose(step, self.run(step))
        ended = {r.request_id: self.end(r, new)[2] for r, new in self.scheduler.update(step, chosen)}
        return [(name, tokens[0], ended.get(name)) for name, tokens in chosen.items()]


class BareTokens(Parts):
    def choose(self, step, best):
        return {name: tokens[0] for name, tokens in super().choose(step, best).items()}


class SchedulesTwice(Parts):
    def step(self):
        self.scheduler.schedule()
        return super().step()


class NeverIdle(Parts):
    def is_idle(self, step):
        return False


class AppendsItself(Parts):
    """Appends the token to the request, which `update` does too."""

    def end(self, request, new):
        request.append(new[-1])
        return super().end(request, new)


class TellsRunning(Parts):
    def step(self):
        return [one for one in super().step() if not one[2]]


class TellsStops(Parts):
    def step(self):
        return [one for one in super().step() if one[2] != "stop"]


class TellsEnds(Parts):
    def step(self):
        return [one for one in super().step() if one[2]]
