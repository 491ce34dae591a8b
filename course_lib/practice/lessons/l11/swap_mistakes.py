"""The mistakes in 11.swap. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake

from .swap_reads import (
    blocks_whole,
    full_blocks,
    ids_as_slots,
    ids_plus_offsets,
    last_block,
    one_more,
    past_the_end,
    views,
)
from .swap_variants import (
    EitherOr,
    InPairs,
    InsideOut,
    OneOnly,
    PopsTheStep,
    Wrong,
    float_index,
    from_start,
    into_a_copy,
    joined,
    one_by_one,
    tokens_of_views,
    whole_blocks,
)

wrong = Wrong.variant


MISTAKES = [
    Mistake(
        "the step is computed before the swapped-out tokens are saved.",
        "By then others have written into the blocks. Save the tokens first.",
        (wrong(order=("compute", "out", "in")), wrong(order=("in", "compute", "out"))),
    ),
    Mistake(
        "tokens are swapped in after the step was computed.",
        "The model reads these blocks in this step, and they still hold tokens of others. `compute()` comes last.",
        wrong(order=("out", "compute", "in")),
    ),
    Mistake(
        "tokens are swapped in before the others are swapped out.",
        "Both may have the same blocks. First swap out all requests of `swapped_out`, then swap in those of "
        "`swapped_in`.",
        wrong(order=("in", "out", "compute")),
    ),
    Mistake(
        "the saved tensors are still the engine's memory.",
        "`k[:, block]` is a view: others write into it as soon as they have the block. `.clone()` makes a copy, "
        "and indexing with a list does too: `k[:, block_ids]`. (`.cpu()` copies nothing where the tensor is on "
        "the CPU already.)",
        (wrong(read=views, rest=joined), wrong(read=views, rest=tokens_of_views, written=one_by_one)),
    ),
    Mistake(
        "only the keys come back, or only the values.",
        "Attention needs both: scores are computed from keys, and the output from values.",
        (wrong(keys=("k",)), wrong(keys=("v",))),
    ),
    Mistake(
        "keys are saved in place of values.",
        "`self.k` and `self.v` are two tensors. Save both.",
        (wrong(sources=("k", "k")), wrong(sources=("v", "v")), wrong(sources=("v", "k"))),
    ),
    Mistake(
        "the numbers are saved in fewer bits.",
        "What comes back must be what was saved, bit for bit: keep the dtype.",
        (
            wrong(read=lambda part, block_ids, n: part[:, block_ids].flatten(1, 2)[:, :n].half().float()),
            wrong(read=lambda part, block_ids, n: part[:, block_ids].flatten(1, 2)[:, :n].bfloat16().float()),
        ),
    ),
    Mistake(
        "only as many requests are moved as are in both lists.",
        "In most steps one of the two lists is empty. First go through `swapped_out`, then through `swapped_in`.",
        InPairs,
    ),
    Mistake(
        "only the first request of a list is moved.",
        "Several requests may be swapped out in one step, and several in: go through both lists.",
        OneOnly,
    ),
    Mistake(
        "the lists of the step are changed.",
        "They belong to the scheduler, which still needs them. Go through them with `for`, without `pop`.",
        PopsTheStep,
    ),
    Mistake(
        "requests are swapped in only in a step that swaps others out.",
        "The loop over `swapped_in` stands beside the one over `swapped_out`, not inside it.",
        InsideOut,
    ),
    Mistake(
        "empty `slots` make an index of floats.",
        "All tokens may be in memory already, and `torch.tensor([])` has float32. Give the dtype: "
        "`torch.tensor(slots, dtype=torch.int64)`.",
        wrong(written=float_index),
    ),
    Mistake(
        "each token fills its whole block.",
        "A slot is one place in a block: block `slot // block_size`, offset `slot % block_size`.",
        wrong(written=whole_blocks),
    ),
    Mistake(
        "only one layer comes back.",
        "Each layer has its own keys and values: `k[:, …]` has all layers.",
        (
            wrong(layers=slice(0, 1)),
            wrong(layers=slice(1, 2)),
            wrong(read=lambda part, block_ids, n: part[:1, block_ids].flatten(1, 2)[:, :n].repeat(len(part), 1, 1, 1)),
        ),
    ),
    Mistake(
        "tokens in a block that is not full are lost.",
        "The last block is rarely full, and its tokens are needed too: save `num_computed_tokens` tokens, not "
        "full blocks.",
        wrong(read=full_blocks),
    ),
    Mistake(
        "more tokens are saved than were computed.",
        "The last block is rarely full, and the newest token has no key and value yet. Save the first "
        "`request.num_computed_tokens` tokens of the blocks.",
        (wrong(read=blocks_whole, rest=from_start), wrong(read=one_more, rest=from_start), wrong(read=past_the_end)),
    ),
    Mistake(
        "only the last block is saved.",
        "All blocks of the request are given to others, not only the last one.",
        wrong(read=last_block),
    ),
    Mistake(
        "block ids are used as slots.",
        "Block b begins at slot `b * block_size`. First index the dimension of the blocks, then flatten.",
        (wrong(read=ids_as_slots), wrong(read=ids_plus_offsets)),
    ),
    Mistake(
        "the blocks are sorted.",
        "`block_ids` is in the order of the sequence. Sorted, the tokens are in another order.",
        wrong(read=lambda part, block_ids, n: part[:, sorted(block_ids)].flatten(1, 2)[:, :n].clone()),
    ),
    Mistake(
        "the blocks are read in reverse order.",
        "`block_ids` is in the order of the sequence: its first block holds its first tokens.",
        wrong(read=lambda part, block_ids, n: part[:, block_ids[::-1]].flatten(1, 2)[:, :n].clone()),
    ),
    Mistake(
        "tokens are written to the old blocks.",
        "The old blocks belong to others now. Write to the slots that the engine has allocated.",
        wrong(target=lambda own, slots: own[len(own) - len(slots) :]),
    ),
    Mistake(
        "`start` is not used.",
        "The slots belong to the tokens `start`, `start + 1`, …: `saved[:, start:]`.",
        wrong(rest=lambda saved, start, slots: saved[:, : len(slots)]),
    ),
    Mistake(
        "the slots are sliced at `start` too.",
        "The first slot belongs to token `start` already. Use all slots, and the saved tokens from `start` on.",
        wrong(target=lambda own, slots: slots[len(own) - len(slots) :]),
    ),
    Mistake(
        "nothing is written, or only into a copy.",
        "The engine reads the tensors that it passed in. `k[:, blocks]` with a list of ids is a copy, as "
        "`.clone()` is, and a value assigned to it is lost. `k.flatten(1, 2)` is the same memory: assign to `[:, "
        "slots]` of it.",
        (wrong(written=into_a_copy), wrong(order=("out", "compute"))),
    ),
    Mistake(
        "the keys of `saved` are requests, not their ids.",
        "Save each request under its `request.request_id`.",
        wrong(saved_under=lambda request: request),
    ),
    Mistake(
        "all requests are saved under one key.",
        "Several requests may be swapped out at the same time. Save each under its own `request_id`.",
        wrong(saved_under=lambda request: "saved"),
    ),
    Mistake(
        "entries of swapped-in requests are still in `saved`.",
        "They fill CPU memory and are never read again: `self.saved.pop(request.request_id)`.",
        wrong(deletes=False),
    ),
    Mistake(
        "the result of `compute()` is lost.",
        "It is the tokens that the model chose. `return compute()`.",
        wrong(returns=lambda result: None),
    ),
    Mistake(
        "`compute()` is not called.",
        "A step moves tokens and then computes. End with `return compute()` in every case.",
        (wrong(order=("out", "in")), EitherOr),
    ),
    Mistake(
        "`compute()` is called twice.",
        "A step is computed once. Keep its result.",
        wrong(order=("out", "in", "compute", "compute")),
    ),
]
