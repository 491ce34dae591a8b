"""The mistakes in 13.graph_buckets. Each is the right answer with one part replaced."""

import torch

from course_lib.practice.judge.exercise import Mistake

from .graph_game import FIELDS, made_step

COLUMNS = FIELDS[:4]


def has_other_tensors(answer, found):
    """Whether a step leaves tensors in the object that are, or have the memory of, others. found: not used."""
    buffers = answer(4, 2)
    before = [(getattr(buffers, name), getattr(buffers, name).data_ptr()) for name in FIELDS]
    buffers.fill(**made_step([(11, [5], 1), (33, [2], 2), (55, [4], 1)]))
    after = [getattr(buffers, name) for name in FIELDS]
    return any(now is not one or now.data_ptr() != at for now, (one, at) in zip(after, before))


def holds_tensors(answer, found):
    """Whether a class holds a tensor or a list for all its objects. found: not used; is_made_by passes it."""
    kept = (torch.Tensor, list, dict)
    return any(isinstance(value, kept) for name, value in vars(answer).items() if not name.startswith("__"))


def listed(most, sizes=(1, 2, 4), step=8):
    return [size for size in (*sizes, *range(8, most, step)) if size < most]


class Wrong:
    """The right answer; a variant replaces some of its class attributes."""

    all_sizes = staticmethod(lambda most: [*listed(most), most])
    large_enough = staticmethod(lambda size, n: size >= n)
    beyond = staticmethod(lambda sizes: None)
    pads = {"token_ids": 0, "positions": 0, "slots": -1, "seq_lens": 0}.items()  # of each column in rows of padding
    once = False  # whether padding is written in __init__ only
    replaces = ""
    last_again = False
    skipped = ()
    of_columns = "step"

    def __init__(self, most, width):
        for name in COLUMNS:
            setattr(self, name, torch.zeros(most, dtype=torch.int64))
        self.block_tables = torch.zeros((most, width), dtype=torch.int32)
        self.most, self.sizes = most, self.all_sizes(most)
        if self.once:
            self.slots.fill_(-1)

    def size_for(self, n):
        return next((size for size in self.sizes if self.large_enough(size, n)), None) or self.beyond(self.sizes)

    def fill(self, token_ids, positions, slots, seq_lens, block_tables):
        n, columns = len(token_ids), dict(zip(COLUMNS, (token_ids, positions, slots, seq_lens)))
        size = self.size_for(n)
        if size is None:
            return None
        if n > size:
            columns, n = {name: column[:size] for name, column in columns.items()}, size
            block_tables = block_tables[:size]
        if self.replaces == "before":
            for name in COLUMNS:
                setattr(self, name, getattr(self, name).clone())
            self.block_tables = self.block_tables.clone()
        for name, column in columns.items():
            if name not in self.skipped:
                getattr(self, name)[:n] = column
        if "block_tables" not in self.skipped:
            if self.of_columns == "all":
                self.block_tables[:n] = block_tables
            else:
                self.block_tables[:n, : block_tables.shape[1]] = block_tables
        for name, value in self.pads if not self.once else ():
            getattr(self, name)[n:size] = getattr(self, name)[n - 1] if self.last_again else value
        if self.last_again:
            self.block_tables[n:size] = self.block_tables[n - 1]
        if self.replaces == "after":
            self.slots, self.seq_lens = self.slots.clone(), self.seq_lens.clone()
        return size


def variant(**changed):
    """A class like Wrong with some attributes replaced."""
    return type("GraphBuffers", (Wrong,), {k: staticmethod(v) if callable(v) else v for k, v in changed.items()})


def pads(**columns):
    """Padding by these columns; None leaves a column as it is."""
    every = {"token_ids": 0, "positions": 0, "slots": -1, "seq_lens": 0} | columns
    return variant(pads=tuple((name, value) for name, value in every.items() if value is not None))


MISTAKES = [
    Mistake(
        "a method or a buffer is missing.",
        "The engine uses `sizes`, `size_for(n)` and `fill(…)`, and its graphs read `token_ids`, `positions`, `slots`, "
        "`seq_lens` and `block_tables`.",
        is_made_by=lambda answer, found: (
            "has no attribute" in getattr(found.outcome, "message", "")
            and "GraphBuffers" in getattr(found.outcome, "message", "")
        ),
    ),
    Mistake(
        "`most` is no size.",
        "A full batch is the most frequent one: `most` is always the last size, also where it is no multiple of 8.",
        variant(all_sizes=lambda most: listed(most + 1)),
    ),
    Mistake(
        "a size is larger than `most`.",
        "The buffers have `most` rows. No size is larger.",
        (
            variant(all_sizes=lambda most: [1, 2, 4, *range(8, most, 8), most]),
            variant(all_sizes=lambda most: [1, 2, 4, *range(8, most + 8, 8)]),
            variant(all_sizes=lambda most: sorted({1, 2, 4, most, *range(8, most + 1, 8)})),
        ),
    ),
    Mistake(
        "the sizes are powers of two.",
        "A step of 33 sequences would run at 64. From 8 on, every multiple of 8 is a size.",
        tuple(
            variant(all_sizes=lambda most, n=n: [*(s for s in (2**i for i in range(n)) if s < most), most])
            for n in (7, 8, 9, 10)
        ),
    ),
    Mistake(
        "1, 2 and 4 are no sizes.",
        "One request alone would pay for a batch of 8.",
        (
            variant(all_sizes=lambda most: [*listed(most, ()), most]),
            variant(all_sizes=lambda most: [*listed(most, (1,)), most]),
        ),
    ),
    Mistake(
        "every number is a size.",
        "Each size is a graph to capture: with 256 of them, the start takes minutes.",
        variant(all_sizes=lambda most: list(range(1, most + 1))),
    ),
    Mistake(
        "`most` stands twice in `sizes`.",
        "Each size is captured once. Take the sizes below `most`, and then `most`.",
        (
            variant(all_sizes=lambda most: [*(s for s in (1, 2, 4, *range(8, most + 1, 8)) if s <= most), most]),
            variant(all_sizes=lambda most: [*(s for s in (1, 2, 4) if s <= most), *range(8, most, 8), most]),
        ),
    ),
    Mistake(
        "a size that fits exactly is passed over.",
        "A step of 4 sequences runs at 4: `>=`, not `>`.",
        variant(large_enough=lambda size, n: size > n),
    ),
    Mistake(
        "the largest size is taken for every step.",
        "One sequence would pay for a full batch. Take the smallest size that is large enough.",
        variant(large_enough=lambda size, n: False, beyond=lambda sizes: sizes[-1]),
    ),
    Mistake(
        "a step that is too large gets the largest graph.",
        "Some of its sequences would have no row. Return None: such a step runs eagerly.",
        variant(beyond=lambda sizes: sizes[-1]),
    ),
    Mistake(
        "the buffers are replaced by new tensors.",
        "A graph keeps the addresses that it was captured with, and `.data = …` gives a tensor another one. Write "
        "into the tensor: `self.slots[:n] = slots`.",
        (variant(replaces="before"), variant(replaces="after")),
        is_made_by=has_other_tensors,
    ),
    Mistake(
        "rows of padding are not written.",
        "The buffer still has the rows of an earlier step, or zeros: slot 0 is a slot. Write -1 and length 0 into the "
        "rows from n up to the size, in every step.",
        variant(pads=()),
    ),
    Mistake(
        "padding is written once, in `__init__`.",
        "A larger step overwrites it, and the next smaller one finds rows of sequences there. Write it in each `fill`.",
        variant(once=True),
    ),
    Mistake(
        "the slot of padding is left as it is.",
        "The row writes into the slot of an earlier step, which belongs to somebody else: -1.",
        (pads(slots=None), pads(slots=None, token_ids=None, positions=None)),
    ),
    Mistake(
        "the length of padding is left as it is.",
        "The row reads the blocks of an earlier step, which may be free: 0.",
        (pads(seq_lens=None), pads(seq_lens=None, token_ids=None, positions=None)),
    ),
    Mistake(
        "padding writes to slot 0.",
        "Slot 0 is the first slot of block 0, and belongs to a sequence. -1 is no slot.",
        pads(slots=0),
    ),
    Mistake(
        "padding has length 1.",
        "Then it reads a slot. With length 0 the loop over blocks ends before it begins.",
        pads(seq_lens=1),
    ),
    Mistake(
        "the last sequence is repeated as padding.",
        "Two rows then write into one slot at the same time. Padding writes nothing: slot -1, length 0.",
        variant(last_again=True),
    ),
    Mistake(
        "padding has a token or a position that does not exist.",
        "The row is computed like the others: its token is looked up in the embedding, and its position in the table "
        "of angles. Take 0 for both.",
        (pads(token_ids=-1), pads(positions=-1), pads(token_ids=-1, positions=-1), pads(token_ids=-100)),
    ),
    Mistake(
        "the block table of the step is taken to be as wide as the buffer.",
        "It has as many columns as the longest sequence has blocks: `self.block_tables[:n, : block_tables.shape[1]]`. "
        "One column would be copied into all.",
        variant(of_columns="all"),
    ),
    *[
        Mistake(
            f"`{name}` is not copied.", f"The graph reads `{name}` too: copy it in each step.", variant(skipped=(name,))
        )
        for name in FIELDS
    ],
]
