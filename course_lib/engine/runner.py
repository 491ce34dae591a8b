"""Runs the model once for a whole step: tokens in, the next token of each request out. Tensors only, no decisions.

token_ids     | chunk of a's prompt      | b | c | d |      one flat batch; b, c and d bring their newest token
logits_for                              ^   ^   ^   ^       a row for each request whose tokens are all computed now
"""

import torch

from course_lib.decoding.sampling import SamplingParams, distribution, sample

GREEDY = SamplingParams()


class Runner:
    """The model, the cache that its attention sees, and what was swapped out of it.

    cache: has begin_step(tables, num_new_tokens) -> positions and attend(layer, q, k, v), and its KVPool as `pool`.
    """

    def __init__(self, model, cache, manager):
        self.model, self.cache, self.manager = model, cache, manager
        self.saved = {}  # request_id -> k and v in CPU memory, [num_layers, num_tokens, num_kv_heads, head_dim]

    @torch.inference_mode()
    def run(self, step):
        """Computes a Step. Returns (request, token ids) for each request whose tokens are now all computed.

        The token ids are what comes next: one, or one for each of the texts that the request stands for.
        """
        for request, block_ids in step.swapped_out:
            self._save(request, block_ids)
        tables = [self.manager.table(request) for request, _ in step.scheduled]
        positions = self.cache.begin_step(tables, [n for _, n in step.scheduled])
        for request, start, slots in step.swapped_in:
            self._restore(request, start, slots)
        flat, rows, ready = [], [], []
        for request, n in step.scheduled:
            start = request.num_computed_tokens
            flat += request.token_ids[start : start + n] if n > 1 else (request.token_ids[start],)
            if start + n == len(request.token_ids):
                rows.append(len(flat) - 1)
                ready.append(request)
        flat, rows = (torch.tensor(ids, dtype=torch.int64, device=self.model.device) for ids in (flat, rows))
        logits = self.model(flat, positions, self.cache, logits_for=rows)
        return list(zip(ready, choose(logits, ready))) if ready else []

    def _save(self, request, block_ids):
        blocks = torch.tensor(block_ids, device=self.cache.pool.k.device)
        self.saved[request.request_id] = [
            kept[:, blocks].flatten(1, 2)[:, : request.num_computed_tokens].cpu()
            for kept in (self.cache.pool.k, self.cache.pool.v)
        ]

    def _restore(self, request, start, slots):
        """Writes the saved tokens from number `start` on to their new slots; those before were found in the cache."""
        saved, pool = self.saved.pop(request.request_id), self.cache.pool
        if slots:
            at = torch.tensor(slots, device=pool.k.device)
            for kept, back in zip((pool.k, pool.v), saved):
                kept.flatten(1, 2)[:, at] = back[:, start : start + len(slots)].to(kept.device)

    def forget(self, request):
        """Drops what was saved of a request that will not come back for it."""
        self.saved.pop(request.request_id, None)


def choose(logits, requests):
    """The next tokens: for each request as many as it stands for texts.

    logits: float32 [num_requests, vocab_size]. Greedy rows are chosen in one call, and probabilities worked out in one call
    for all rows of equal parameters; each text draws from a generator of its own, so the others do not change what it says.
    """
    chosen = [None] * len(requests)
    alike = {}  # parameters -> rows
    for row, request in enumerate(requests):
        params = request.params
        key = None if params.temperature == 0 else (params.temperature, params.top_k, params.top_p)
        alike.setdefault(key, []).append(row)
    for key, rows in alike.items():
        part = logits if len(rows) == len(requests) else logits[rows]
        if key is None:
            for row, token in zip(rows, sample(part, GREEDY).tolist()):
                chosen[row] = [token] * requests[row].num_sequences
        else:
            sample(part, GREEDY)  # refuses rows that nothing can be chosen by
            for row, probs in zip(rows, distribution(part, requests[rows[0]].params)):
                chosen[row] = [int(torch.multinomial(probs, 1, generator=g)) for g in requests[row].generators]
    return chosen
