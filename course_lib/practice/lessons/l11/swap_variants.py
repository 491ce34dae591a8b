"""The wrong answers of 11.swap: SwapSpace made of parts, of which some are replaced."""

import torch


class Wrong:
    """SwapSpace made of parts, all of them right; `variant` replaces some."""

    order = ("out", "in", "compute")
    keys = ("k", "v")  # what is written back
    sources = ("k", "v")  # what is saved as keys and as values
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
                    parts = [getattr(self, name) for name in self.sources]
                    self.saved[self.saved_under(request)] = [self.read(part, block_ids, n) for part in parts]
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
    """Either moves tokens or computes."""

    def run(self, step, compute):
        self.order = ("out", "in") if step.swapped_out or step.swapped_in else ("compute",)
        return super().run(step, compute)


class InPairs(Wrong):
    """Goes through both lists at once, and stops where the shorter one ends."""

    def run(self, step, compute):
        self.order, both = ("out", "in"), min(len(step.swapped_out), len(step.swapped_in))
        super().run(type(step)(step.swapped_out[:both], step.swapped_in[:both]), compute)
        return compute()


class OneOnly(Wrong):
    """Moves the first request of each list."""

    def run(self, step, compute):
        return super().run(type(step)(step.swapped_out[: self.most], step.swapped_in[: self.most]), compute)

    most = 1


class PopsTheStep(Wrong):
    def run(self, step, compute):
        moved = type(step)(list(step.swapped_out), list(step.swapped_in))
        step.swapped_out.clear()
        step.swapped_in.clear()
        return super().run(moved, compute)


class InsideOut(Wrong):
    """The loop over `swapped_in` stands inside the one over `swapped_out`."""

    def run(self, step, compute):
        self.order = ("out", "in") if step.swapped_out else ()
        super().run(step, compute)
        return compute()


def from_start(saved, start, slots):
    return saved[:, start:]


def joined(saved, start, slots):
    return torch.stack(saved, 1).flatten(1, 2)[:, start : start + len(slots)]


def whole_blocks(part, layers, slots, tokens):
    for slot, token in zip(slots, tokens.unbind(1)):
        part[layers][:, slot // part.shape[2]] = token[:, None]


def float_index(part, layers, slots, tokens):
    part.flatten(1, 2)[layers][:, torch.tensor(slots)] = tokens


def into_a_copy(part, layers, slots, tokens):
    part[:, [slot // part.shape[2] for slot in slots]][:, :, 0] = tokens


def tokens_of_views(saved, start, slots):
    size = saved[0].shape[1]
    return [saved[at // size][:, at % size] for at in range(start, start + len(slots))]


def one_by_one(part, layers, slots, tokens):
    for slot, token in zip(slots, tokens):
        part.flatten(1, 2)[:, slot] = token
