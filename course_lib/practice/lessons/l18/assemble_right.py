"""Right answers to 18.assemble that are written differently."""

import torch

from course_lib.decoding.generate import stop_ids
from course_lib.kvcache import KVCacheManager, KVPool


class AllRows:
    """Computes the logits of every token, and takes the wanted rows afterwards."""

    def __init__(self, model, config, *, allocator, cache, scheduler, policy):
        ledger = allocator(num_blocks=config.num_blocks, block_size=config.block_size)
        self.model = model
        self.kv = cache(
            KVPool(model.config, config.num_blocks, config.block_size, model.device, model.dtype), ledger
        )  # fmt: skip
        self.manager = KVCacheManager(ledger, prefix_caching=config.prefix_caching)
        self.scheduler = scheduler(config, self.manager, policy=policy())

    def add_request(self, request):
        request.stop_ids = frozenset(stop_ids(self.model.config, request.params))
        self.scheduler.add(request)

    def has_unfinished(self):
        return len(self.scheduler.running) + len(self.scheduler.waiting) != 0

    def step(self):
        step = self.scheduler.schedule()
        todo = step.scheduled
        if len(todo) == 0:
            return []
        where = self.kv.begin_step(
            [self.manager.table(self.scheduler.running[s.request_id]) for s in todo], [s.num_tokens for s in todo]
        )
        best = self.model(torch.tensor(sum((s.token_ids for s in todo), [])), where, self.kv).argmax(1)
        end, tokens = 0, {}
        for s in todo:
            end += s.num_tokens
            tokens[s.request_id] = [int(best[end - 1])]  # `update` reads those with a choice
        said = []
        for request, ids in self.scheduler.update(step, tokens):
            said.append([request.request_id, ids[0], request.finish_reason])
            if said[-1][2] is not None:
                self.scheduler.finish(request, said[-1][2])
        return said


class WithAQueue(AllRows):
    """Keeps the requests that it has not ended in a dict of its own."""

    def __init__(self, *given, **parts):
        super().__init__(*given, **parts)
        self.mine = {}

    def add_request(self, request):
        self.mine[request.request_id] = request
        super().add_request(request)

    def has_unfinished(self):
        return len(self.mine) > 0

    def step(self):
        said = super().step()
        for name, _, reason in said:
            if reason:
                self.mine.pop(name)
        return said
