"""Answers to 11.swap: right ones written differently, and wrong ones made of parts that can each be wrong."""

import torch

from .solutions.swap import SwapSpace


class TokenByToken(SwapSpace):
    """Each token by itself, wherever it is."""

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
    """Whole blocks are kept, what is behind the last token too, in one list for keys and values."""

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


class Wrong:
    """SwapSpace made of parts; see `variant`. It is right as it stands."""

    order = ("out", "in", "compute")
    keys = ("k", "v")  # what is kept
    layers = slice(None)  # of which layers
    deletes = True
    saved_under = staticmethod(lambda request: request.request_id)
    returns = staticmethod(lambda result: result)

    @staticmethod
    def read(part, block_ids, n):
        return part[:, block_ids].flatten(1, 2)[:, :n].clone()

    @staticmethod
    def rest(saved, start, slots):
        return saved[:, start : start + len(slots)]

    @staticmethod
    def written(part, layers, slots, tokens):
        part.flatten(1, 2)[layers][:, slots] = tokens

    @staticmethod
    def target(own_slots, slots):
        return slots

    def __init__(self, k, v):
        self.k, self.v, self.saved = k, v, {}
        self.own = {}

    def run(self, step, compute):
        result = None
        for what in self.order:
            if what == "out":
                for request, block_ids in step.swapped_out:
                    n, size = request.num_computed_tokens, self.k.shape[2]
                    self.saved[self.saved_under(request)] = [self.read(part, block_ids, n) for part in (self.k, self.v)]
                    self.own[request.request_id] = [b * size + i for b in block_ids for i in range(size)][:n]
            elif what == "in":
                for request, start, slots in step.swapped_in:
                    parts = self.saved[self.saved_under(request)]
                    if self.deletes:
                        del self.saved[self.saved_under(request)]
                    for name, saved in zip("kv", parts):
                        if name in self.keys:
                            tokens = self.rest(saved, start, slots)[self.layers]
                            slots_now = self.target(self.own[request.request_id], slots)
                            self.written(getattr(self, name), self.layers, slots_now, tokens)
            else:
                result = compute()
        return self.returns(result)

    @classmethod
    def variant(cls, **parts):
        return type(
            "SwapSpace", (cls,), {name: staticmethod(part) if callable(part) else part for name, part in parts.items()}
        )


class EitherOr(Wrong):
    """Moves tokens, or else computes."""

    def run(self, step, compute):
        self.order = ("out", "in") if step.swapped_out or step.swapped_in else ("compute",)
        return super().run(step, compute)


def views(part, block_ids, n):
    """Pieces that are still the engine's own memory."""
    return [part[:, b] for b in block_ids]


def full_blocks(part, block_ids, n):
    """Zeros where the last block is not full."""
    tokens = part[:, block_ids].flatten(1, 2)[:, :n].clone()
    tokens[:, n // part.shape[2] * part.shape[2] :] = 0
    return tokens


def last_block(part, block_ids, n):
    """Zeros but in the last block."""
    tokens = part[:, block_ids].flatten(1, 2)[:, :n].clone()
    tokens[:, : (n - 1) // part.shape[2] * part.shape[2]] = 0
    return tokens


def ids_as_slots(part, block_ids, n):
    """n tokens from the slot on that has the first block's number."""
    return part.flatten(1, 2).roll(-block_ids[0], 1)[:, :n].clone()


def joined(saved, start, slots):
    return torch.stack(saved, 1).flatten(1, 2)[:, start : start + len(slots)]


def into_a_copy(part, layers, slots, tokens):
    part[:, [slot // part.shape[2] for slot in slots]][:, :, 0] = tokens
