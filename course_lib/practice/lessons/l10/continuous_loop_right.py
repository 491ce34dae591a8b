"""A right answer to 10.continuous_loop that is written differently."""

import torch

from course_lib.kvcache import BlockTable


class Everything:
    """All in one method. A dict holds the request and the block table of each running request."""

    def __init__(self, model, cache, max_num_seqs):
        self.model, self.cache, self.max_num_seqs = model, cache, max_num_seqs
        self.queue, self.live = {}, {}

    def add_request(self, request):
        self.queue[request.request_id] = request

    def has_unfinished(self):
        return len(self.queue) + len(self.live) > 0

    def abort(self, request_id):
        self.queue.pop(request_id, None)
        held = self.live.pop(request_id, None)
        if held:
            held[1].free()

    def step(self):
        size, ledger = self.cache.allocator.block_size, self.cache.allocator
        for name, request in list(self.queue.items()):
            most = request.num_prompt_tokens + request.params.max_tokens - 1
            reserved = sum(-(-(r.num_prompt_tokens + r.params.max_tokens - 1) // size) for r, _ in self.live.values())
            if len(self.live) == self.max_num_seqs or reserved + -(-most // size) > ledger.num_blocks:
                break
            self.live[name] = self.queue.pop(name), BlockTable(ledger)
        if not self.live:
            return []
        flat, ends, counts, tables = [], [], [], []
        for request, table in self.live.values():
            new = request.token_ids[table.num_tokens :]
            table.append_slots(len(new))
            flat.extend(new)
            ends.append(len(flat) - 1)
            counts.append(len(new))
            tables.append(table)
        positions = self.cache.begin_step(tables, counts)
        choices = self.model(torch.tensor(flat), positions, self.cache)[ends].argmax(1).tolist()
        said = []
        for name, token in zip(list(self.live), choices):
            request, table = self.live[name]
            request.token_ids.append(token)
            request.num_computed_tokens = table.num_tokens
            params = request.params
            ends_it = token in params.stop_token_ids or (
                not params.ignore_eos and token in self.model.config.eos_token_ids
            )
            reason = "stop" if ends_it else "length" if len(request.output_ids) == params.max_tokens else None
            if reason:
                table.free()
                del self.live[name]
            said.append([name, token, reason])
        return said
