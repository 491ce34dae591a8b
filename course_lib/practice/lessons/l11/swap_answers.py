"""Right answers to 11.swap, written differently."""

import torch

from .solutions.swap import SwapSpace


class TokenByToken(SwapSpace):
    """Copies token by token."""

    def swap_out(self, request, block_ids):
        size, tokens = self.k.shape[2], []
        for position in range(request.num_computed_tokens):
            block, offset = block_ids[position // size], position % size
            tokens.append((self.k[:, block, offset].clone(), self.v[:, block, offset].clone()))
        self.saved[request.request_id] = tokens

    def swap_in(self, request, start, slots):
        tokens = self.saved[request.request_id][start:]
        for slot, (k, v) in zip(slots, tokens):
            block, offset = divmod(slot, self.k.shape[2])
            self.k[:, block, offset], self.v[:, block, offset] = k, v
        del self.saved[request.request_id]


class BlockByBlock:
    """Saves whole blocks, also their slots after the last token, in one list for keys and values."""

    def __init__(self, k, v):
        self.both, self.saved = (k, v), {}

    def run(self, step, compute):
        for request, blocks in step.swapped_out:
            self.saved[request.request_id] = [
                torch.stack([t[:, b].to("cpu", copy=True) for b in blocks], 1) for t in self.both
            ]
        for request, start, slots in step.swapped_in:
            kept = self.saved.pop(request.request_id)
            where = torch.tensor(slots, dtype=torch.int64)
            size = kept[0].shape[2]
            for t, copy in zip(self.both, kept):
                tokens = copy.reshape(copy.shape[0], -1, *copy.shape[3:])[:, start:][:, : len(slots)]
                t[:, where // size, where % size] = tokens.to(t.device)
        result = compute()
        return result
