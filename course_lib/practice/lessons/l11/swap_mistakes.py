"""The mistakes in 11.swap. Each is the right answer with one part replaced."""

import torch

from course_lib.practice.judge.exercise import Mistake


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


wrong = Wrong.variant


MISTAKES = [
    Mistake(
        "the step is computed before what makes room is kept.",
        "By then others have written into its blocks. Keep it first.",
        (wrong(order=("compute", "out", "in")), wrong(order=("in", "compute", "out"))),
    ),
    Mistake(
        "it comes back after the step was computed.",
        "The model read its blocks in this step, and they held others' tokens. `compute()` comes last.",
        wrong(order=("out", "compute", "in")),
    ),
    Mistake(
        "who comes back is written before who goes is kept.",
        "They may have the same blocks. First all who go, then all who come.",
        wrong(order=("in", "out", "compute")),
    ),
    Mistake(
        "what is kept is still the engine's memory.",
        "`k[:, block]` is a view: others write into it as soon as they "
        "have the block. `.clone()` makes a copy; so does a list of indices, `k[:, block_ids]`. (`.cpu()` copies "
        "nothing that is on the CPU already.)",
        wrong(read=views, rest=joined),
    ),
    Mistake(
        "the keys only, or the values only.",
        "Attention needs both: the keys say where to look, and the values what is there.",
        (wrong(keys=("k",)), wrong(keys=("v",))),
    ),
    Mistake(
        "one layer only.",
        "Each layer has keys and values of its own: `k[:, …]` is all of them.",
        (wrong(layers=slice(0, 1)), wrong(layers=slice(1, 2))),
    ),
    Mistake(
        "tokens in a block that is not full are lost.",
        "The last block is seldom full, and what is in it counts: `num_computed_tokens` tokens, not blocks.",
        wrong(read=full_blocks),
    ),
    Mistake(
        "only the last block is kept.",
        "All its blocks are given to others, not only the one that was being written.",
        wrong(read=last_block),
    ),
    Mistake(
        "block ids are taken for slots.",
        "Block b begins at slot `b * block_size`. Index the dimension of the blocks, and flatten after that.",
        wrong(read=ids_as_slots),
    ),
    Mistake(
        "the blocks are put in order.",
        "`block_ids` is in the order of the text. Sorted, it is another text.",
        wrong(read=lambda part, block_ids, n: part[:, sorted(block_ids)].flatten(1, 2)[:, :n].clone()),
    ),
    Mistake(
        "it comes back to its old blocks.",
        "They are others' now. The engine has found new slots: write there.",
        wrong(target=lambda own, slots: own[len(own) - len(slots) :]),
    ),
    Mistake(
        "`start` is not looked at.",
        "The slots are those of tokens `start`, `start + 1`, …: `saved[:, start:]`.",
        wrong(rest=lambda saved, start, slots: saved[:, : len(slots)]),
    ),
    Mistake(
        "the slots are cut at `start` too.",
        "The first of them is that of token `start` already. Take all the slots, and what was saved from `start` on.",
        wrong(target=lambda own, slots: slots[len(own) - len(slots) :]),
    ),
    Mistake(
        "nothing is written, or into a copy.",
        "The engine reads the tensors that were handed over. `k[:, blocks]` with a list of "
        "ids is a copy, as `.clone()` is, and what is assigned to it is lost. `k.flatten(1, 2)` is the same memory: assign to "
        "`[:, slots]` of that.",
        (wrong(written=into_a_copy), wrong(order=("out", "compute"))),
    ),
    Mistake(
        "one place for all.",
        "Several may be away at the same time. Keep each under its own `request_id`.",
        wrong(saved_under=lambda request: "saved"),
    ),
    Mistake(
        "what came back is still kept.",
        "It fills CPU memory and is never asked for again: `self.saved.pop(request.request_id)`.",
        wrong(deletes=False),
    ),
    Mistake(
        "what `compute()` returns is lost.",
        "These are the tokens that the model chose. `return compute()`.",
        wrong(returns=lambda result: None),
    ),
    Mistake(
        "`compute()` is not called.",
        "Moving tokens is not all that a step is for. At the end, whatever was moved: `return compute()`.",
        (wrong(order=("out", "in")), EitherOr),
    ),
    Mistake(
        "`compute()` is called twice.",
        "A step is computed once. Keep what it returned.",
        wrong(order=("out", "in", "compute", "compute")),
    ),
]
