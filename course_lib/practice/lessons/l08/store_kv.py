"""Cases of 08.store_kv: keys and values of new tokens into their slots."""

import torch

from course_lib.practice.fixtures.tiny_pages import tokens
from course_lib.practice.judge.common_mistakes import writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, is_outside, rungs, trial
from course_lib.practice.report.tensors import numbers

from .store_kv_answers import (
    add,
    both_into_keys,
    by_num_blocks,
    clears,
    fill_block,
    first_head,
    first_head_long,
    heads_mixed,
    looped,
    masks_in_place,
    nothing,
    number_by_number,
    slot_one_head_long,
    store_by_copy,
    store_by_loop,
    store_kv,
    stored_so_far,
    until_padding,
)


def stores(slot_mapping, note="", **options):
    """The Trial of one step: both caches, slot by slot, after the call."""
    lines, given = story(slot_mapping, **options)

    def call(answer, k, v, k_cache, v_cache, slots):
        answer(k, v, k_cache, v_cache, slots)
        return k_cache.flatten(0, 1), v_cache.flatten(0, 1)

    return trial(
        [
            *lines,
            "store_kv(k, v, k_cache, v_cache, slot_mapping)",
            "k_cache.flatten(0, 1), v_cache.flatten(0, 1)  # slot by slot",
        ],
        given,
        call,
        show=shown,
        note=note,
        explain=explain,
        size=weight(slot_mapping, **options),
    )


def story(slot_mapping, **options):
    call = ", ".join([str(slot_mapping), *(f"{name}={value}" for name, value in options.items())])
    return [
        "from course_lib.practice.play import new_tokens",
        f"k, v, k_cache, v_cache, slot_mapping = new_tokens({call})",
    ], lambda: tokens(slot_mapping, **options)


def weight(slot_mapping, num_blocks=3, block_size=2, kv_heads=1, head_dim=2):
    return 100 * len(slot_mapping) * kv_heads * head_dim + num_blocks * block_size


def untouched(slot_mapping, **options):
    """The Trial that looks at the new tokens after the call."""
    lines, given = story(slot_mapping, **options)

    def call(answer, *given):
        before = [x.clone() for x in given]
        answer(*given)
        return [
            name
            for name, a, b in zip(("k", "v", None, None, "slot_mapping"), before, given)
            if name and not torch.equal(a, b)
        ]

    return trial(
        [
            "# which of k, v and slot_mapping are changed by the call?",
            *lines,
            "store_kv(k, v, k_cache, v_cache, slot_mapping)",
        ],
        given,
        call,
        show=lambda changed: " and ".join(changed) or "none" if isinstance(changed, list) else repr(changed),
        size=len(slot_mapping),
    )


def shown(caches):
    if not isinstance(caches, tuple):
        return repr(caches)
    if caches[0].numel() <= 16:
        return "\n".join(f"{name}: {numbers(x.flatten(1), 3)}" for name, x in zip(("keys  ", "values"), caches))
    return "\n".join(
        f"{name}, first number of each slot: {numbers(x.flatten(1)[:, 0], 3)}"
        for name, x in zip(("keys  ", "values"), caches)
    )


def explain(expected, got):
    """The first slot that is wrong."""
    for name, want, mine in zip(("k_cache", "v_cache"), expected, got):
        wrong = (want != mine).flatten(1).any(1) | mine.isnan().flatten(1).any(1)
        if wrong.any():
            slot = int(wrong.nonzero()[0])
            return f"First different: slot {slot} of {name} holds {numbers(mine[slot].flatten()[:8], 3)}; {numbers(want[slot].flatten()[:8], 3)} is right."
    return ""


ONE = [stores([0]), stores([1]), stores([4]), stores([0], head_dim=4), stores([5], num_blocks=4, block_size=4)]
SEVERAL = [
    stores([2, 3]),
    stores([3, 0]),
    stores([5, 2, 4]),
    stores([1, 2, 3, 0]),
    stores([7, 9, 2], block_size=4),
    stores([6, 5, 3, 0], num_blocks=7, block_size=1),
]
PADDED = [
    stores([-1]),
    stores([-1, 3]),
    stores([1, -1]),
    stores([4, -1, 0]),
    stores([-1, -1, 2, 5]),
    stores([3, -1, -1, 1, -1], block_size=4),
]
HEADS = [
    stores([3], kv_heads=2),
    stores([1, 4], kv_heads=2, head_dim=4),
    stores([2, -1, 5], kv_heads=4),
    stores([5, 1], kv_heads=4, head_dim=1),
]
UNTOUCHED = [untouched([1]), untouched([2, -1]), untouched([-1, 0, 3], kv_heads=2)]

STORE_KV = Exercise(
    id="08.store_kv",
    title="Keys and values into their slots",
    name="store_kv",
    cases="steps",
    properties=[
        Property(
            "A token's key and value stand at its slot, in the caches themselves",
            "The caller looks into the tensors that it handed in.",
            ONE,
        ),
        Property(
            "Each token goes to its own slot, in any order, and all other slots stay",
            "Two requests write into blocks that lie anywhere; between them stand the texts of others.",
            SEVERAL,
        ),
        Property(
            "A token with slot -1 is written nowhere",
            "A step is filled up to a fixed number of tokens; what is only filling has no slot.",
            PADDED,
        ),
        Property(
            "All heads and numbers of a token come along, as they stand",
            "A slot has room for num_kv_heads * head_dim numbers of a key, and as many of a value.",
            HEADS,
        ),
        Property("k, v and slot_mapping stay as they were", "The next layer uses the same slots.", UNTOUCHED),
        *rungs(stores([1]), stores([4, -1, 0], kv_heads=2)),
    ],
    mistakes=[
        Mistake(
            "the inputs are changed.",
            "Functions with an underscore at the end, and assigning to a part, write into the tensor itself.",
            masks_in_place,
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "padding is written.",
            "Slot -1 is no slot: as an index it is the last one of the cache, as an offset it lies before it. Leave such tokens out.",
            (
                looped(skips=lambda slot: False, where=lambda slot, size, token, count: divmod(slot, size)),
                looped(skips=lambda slot: False, where=lambda slot, size, token, count: divmod(max(slot, 0), size)),
                looped(
                    skips=lambda slot: False,
                    where=lambda slot, size, token, count: (-1, -1) if slot < 0 else divmod(slot, size),
                ),
            ),
            is_made_by=lambda answer, found: is_outside(answer, found) and found.trial in PADDED,
        ),
        OUTSIDE,
        Mistake(
            "the caches are not written in place.",
            "A copy is another tensor: `clone`, `cat`, or `cache[blocks][offsets] = …`, which writes into what "
            "`cache[blocks]` copied. Assign to one index: `cache.flatten(0, 1)[slots] = …`.",
            nothing,
        ),
        Mistake(
            "with padding, tokens get the numbers of others.",
            "Leave out the same rows of k and v as of slot_mapping.",
            looped(of=stored_so_far),
        ),
        Mistake(
            "what comes after a padding is left out.",
            "Padding may stand anywhere: go on with the next token.",
            until_padding,
        ),
        Mistake(
            "slot 0 is taken for padding.",
            "Slot 0 is the first of block 0. Padding is -1.",
            looped(skips=lambda slot: slot <= 0),
        ),
        Mistake(
            "the slot is divided by the number of blocks.",
            "The block is slot // block_size; block_size is `k_cache.shape[1]`.",
            by_num_blocks,
        ),
        Mistake(
            "the offset within the block is forgotten.",
            "slot = block_id * block_size + offset: the block is slot // block_size, the offset slot % block_size.",
            looped(where=lambda slot, size, token, count: (slot // size, 0)),
        ),
        Mistake(
            "the slot is taken for a block.",
            "A slot is room for one token; `k_cache[slot]` would be a whole block.",
            (
                looped(where=lambda slot, size, token, count: (slot, 0)),
                looped(where=lambda slot, size, token, count: (slot, 0), write=fill_block),
            ),
        ),
        Mistake(
            "block and offset are exchanged.",
            "The block is slot // block_size, the offset slot % block_size.",
            looped(where=lambda slot, size, token, count: (slot % size, slot // size)),
        ),
        Mistake(
            "tokens are written one after the other, wherever their slots are.",
            "Token i goes to slot_mapping[i].",
            looped(where=lambda slot, size, token, count: divmod(token, size)),
        ),
        Mistake("the whole block is overwritten.", "Its other slots hold tokens too.", looped(write=fill_block)),
        Mistake("the rest of the caches is cleared.", "Everything in them is somebody's text.", clears),
        Mistake(
            "what stood in the slot is added to.",
            "A slot may hold what a text that is gone has left: overwrite it.",
            looped(write=add),
        ),
        Mistake(
            "keys and values are exchanged.", "k goes to `k_cache`, v to `v_cache`.", looped(to=lambda k, v: (v, k))
        ),
        Mistake("the keys are written twice.", "v goes to `v_cache`.", looped(to=lambda k, v: (k, k))),
        Mistake("keys and values are both written into k_cache.", "The values go to `v_cache`.", both_into_keys),
        Mistake(
            "a slot or a token is taken for one number.",
            "Both are NUMBERS = num_kv_heads * head_dim numbers: slot s begins at s * NUMBERS in the cache, token i at i * NUMBERS in k.",
            (number_by_number(True, False), number_by_number(True, True), number_by_number(False, True)),
        ),
        Mistake(
            "a slot is taken for head_dim numbers.",
            "It is num_kv_heads * head_dim of them: with h heads, token i begins at i * h * head_dim in k, and slot s at "
            "s * h * head_dim in k_cache.",
            (slot_one_head_long, first_head_long),
        ),
        Mistake(
            "only the keys are written.",
            "Values have a cache of their own, and the same slots.",
            looped(to=lambda k, v: (k, None)),
        ),
        Mistake(
            "only the first head is written.",
            "A token has num_kv_heads * head_dim numbers, side by side.",
            looped(write=first_head),
        ),
        Mistake(
            "heads and numbers are mixed up.",
            "Number d of head h stands at h * head_dim + d, here and in the cache.",
            looped(write=heads_mixed),
        ),
        Mistake(
            "only the last token is written.",
            "A step brings many tokens: a program for each, or one index for all.",
            lambda k, v, k_cache, v_cache, slots: store_kv(k[-1:], v[-1:], k_cache, v_cache, slots[-1:]),
        ),
        Mistake(
            "only the first token is written.",
            "A step brings many tokens: one index for all, or a grid of `(num_tokens,)` in which a program takes the token of its own "
            "id.",
            lambda k, v, k_cache, v_cache, slots: store_kv(k[:1], v[:1], k_cache, v_cache, slots[:1]),
        ),
    ],
    hints=[
        "The memory of a cache [num_blocks, block_size, …] is one row of slots: `k_cache.flatten(0, 1)` is the same memory as [slots, …].",
        "Leave padding out first: `stored = slot_mapping >= 0`, and with it rows of slot_mapping, k and v alike.",
        "As a kernel: a program a token. It loads its slot, ends there if that is -1, and copies num_kv_heads * head_dim numbers.",
        "They begin at k_ptr + token * NUMBERS, and go to k_cache_ptr + slot * NUMBERS.",
    ],
    rights=[
        store_kv,
        store_by_loop,
        store_by_copy,
        *in_triton("l08.solutions.store_kv", "store_kv"),
        *in_triton("l08.kernel_answers", "store_head_by_head"),
    ],
    budget_s=BUDGET_S,
    why="A token's numbers for all KV heads lie side by side, in k and in the cache, so a program copies one contiguous row. Nobody needs to know whose token it is: "
    "slot_mapping says all. vLLM's `reshape_and_cache_flash` does the same.",
)
