"""08.store_kv: the keys and values of new tokens are written into their slots."""

from course_lib.practice.judge.common_mistakes import writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property
from course_lib.practice.judge.rungs import BUDGET_S, OUTSIDE, in_triton, is_outside, rungs
from course_lib.practice.lessons.kernel_mistakes import STORES

from .store_kv_answers import (
    add,
    both_into_keys,
    by_fixed_size,
    by_num_blocks,
    clears,
    fill_block,
    first_head,
    first_head_long,
    heads_before_offsets,
    heads_mixed,
    looped,
    masks_in_place,
    nothing,
    number_by_number,
    pads_at_slot_0,
    slot_one_head_long,
    store_by_copy,
    store_by_loop,
    store_kv,
    stored_so_far,
    until_padding,
)
from .store_kv_trials import HEADS, ONE, PADDED, SEVERAL, UNTOUCHED, stores

STORE_KV = Exercise(
    id="08.store_kv",
    title="Keys and values into their slots",
    name="store_kv",
    cases="steps",
    properties=[
        Property(
            "The key and value of a token are written to its slot, in the caches themselves",
            "The caller reads the tensors that it passed.",
            ONE,
        ),
        Property(
            "Each token is written to its own slot, in any order, and all other slots are unchanged",
            "Requests write into blocks anywhere in the cache. The other blocks hold tokens of other requests.",
            SEVERAL,
        ),
        Property(
            "A token with slot -1 is not written",
            "A step is padded to a fixed number of tokens. Padding has no slot.",
            PADDED,
        ),
        Property(
            "All heads and numbers of a token are written, in their order",
            "A slot holds num_kv_heads * head_dim numbers of a key, and as many of a value.",
            HEADS,
        ),
        Property("k, v and slot_mapping are not changed", "The next layer uses the same slots.", UNTOUCHED),
        *rungs(
            stores([1]),
            stores([4, -1, 0], kv_heads=2),
            orders=[stores([5, 2, 4]), stores([1, 4, -1, 0], kv_heads=2, head_dim=4)],
        ),
    ],
    mistakes=[
        Mistake(
            "the inputs are changed.",
            "Functions whose names end with an underscore, and assignments to a part of a tensor, write into the "
            "tensor itself.",
            masks_in_place,
            is_made_by=writes_into(UNTOUCHED),
        ),
        Mistake(
            "padding writes the old numbers back into slot 0.",
            "Where a token of the same step belongs into slot 0, two rows write there, and the last one counts. Leave "
            "the rows of padding out: `slot_mapping[slot_mapping >= 0]`.",
            pads_at_slot_0,
        ),
        Mistake(
            "padding is written.",
            "Slot -1 is padding, not a slot. As an index it is the last slot of the cache, as an offset it is before "
            "the cache. Skip such tokens.",
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
            "A copy is another tensor: `clone`, `cat`, or `cache[blocks][offsets] = …`, which writes into the copy "
            "that `cache[blocks]` makes. Assign with one index: `cache.flatten(0, 1)[slots] = …`.",
            nothing,
        ),
        Mistake(
            "with padding, tokens get the numbers of other tokens.",
            "Skip the same rows of k and v as of slot_mapping.",
            looped(of=stored_so_far),
        ),
        Mistake(
            "tokens after padding are left out.",
            "Padding can be anywhere in slot_mapping: continue with the next token.",
            until_padding,
        ),
        Mistake(
            "slot 0 is treated as padding.",
            "Slot 0 is the first of block 0. Padding is -1.",
            looped(skips=lambda slot: slot <= 0),
        ),
        Mistake(
            "the slot is divided by the number of blocks.",
            "The block is slot // block_size; block_size is `k_cache.shape[1]`.",
            by_num_blocks,
        ),
        Mistake(
            "the caches are indexed as [block, head, offset].",
            "In some libraries they have this shape. Here they are [num_blocks, block_size, num_kv_heads, head_dim]: "
            "`k_cache[block, offset] = k[token]`, and block_size is `k_cache.shape[1]`.",
            heads_before_offsets,
        ),
        Mistake(
            "the size of a block is written down as a number.",
            "Each cache has its own: block_size is `k_cache.shape[1]`.",
            (by_fixed_size(4), by_fixed_size(16)),
        ),
        Mistake(
            "the offset within the block is forgotten.",
            "slot = block_id * block_size + offset: the block is slot // block_size, the offset slot % block_size.",
            looped(where=lambda slot, size, token, count: (slot // size, 0)),
        ),
        Mistake(
            "the slot is used as a block id.",
            "A slot holds one token. `k_cache[slot]` is a whole block.",
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
            "tokens are written to consecutive slots, whatever slot_mapping says.",
            "Token i goes to slot slot_mapping[i].",
            looped(where=lambda slot, size, token, count: divmod(token, size)),
        ),
        Mistake(
            "the whole block is overwritten.", "The other slots of the block hold tokens too.", looped(write=fill_block)
        ),
        Mistake("the rest of the caches is cleared.", "They hold the tokens of other requests.", clears),
        Mistake(
            "the numbers are added to those in the slot.",
            "A slot may hold a token of a request that has finished: overwrite it.",
            looped(write=add),
        ),
        Mistake(
            "keys and values are exchanged.", "k goes to `k_cache`, v to `v_cache`.", looped(to=lambda k, v: (v, k))
        ),
        Mistake("the keys are written twice.", "v goes to `v_cache`.", looped(to=lambda k, v: (k, k))),
        Mistake("keys and values are both written into k_cache.", "The values go to `v_cache`.", both_into_keys),
        Mistake(
            "a slot or a token is treated as one number.",
            "Both have NUMBERS = num_kv_heads * head_dim numbers: slot s begins at s * NUMBERS in the cache, token i "
            "at i * NUMBERS in k.",
            (number_by_number(True, False), number_by_number(True, True), number_by_number(False, True)),
        ),
        Mistake(
            "a slot is treated as head_dim numbers.",
            "It has num_kv_heads * head_dim numbers: with h heads, token i begins at i * h * head_dim in k, and slot "
            "s at s * h * head_dim in k_cache.",
            (slot_one_head_long, first_head_long),
        ),
        Mistake(
            "only the keys are written.",
            "Values have their own cache and use the same slots.",
            looped(to=lambda k, v: (k, None)),
        ),
        Mistake(
            "only the first head is written.",
            "A token has num_kv_heads * head_dim contiguous numbers.",
            looped(write=first_head),
        ),
        Mistake(
            "heads and numbers are mixed up.",
            "Number d of head h is at h * head_dim + d, in k and v and in the caches.",
            looped(write=heads_mixed),
        ),
        Mistake(
            "the last token is not written.",
            "The grid needs a program for each token: `(num_tokens,)`.",
            lambda k, v, k_cache, v_cache, slots: store_kv(k[:-1], v[:-1], k_cache, v_cache, slots[:-1]),
        ),
        Mistake(
            "only the last token is written.",
            "A step has many tokens: use a program for each, or one index for all.",
            lambda k, v, k_cache, v_cache, slots: store_kv(k[-1:], v[-1:], k_cache, v_cache, slots[-1:]),
        ),
        Mistake(
            "only the first token is written.",
            "A step has many tokens: use one index for all, or a grid of `(num_tokens,)` in which each program takes "
            "the token of its program id.",
            lambda k, v, k_cache, v_cache, slots: store_kv(k[:1], v[:1], k_cache, v_cache, slots[:1]),
        ),
        *STORES,
    ],
    hints=[
        "A cache [num_blocks, block_size, …] is a sequence of slots in memory: `k_cache.flatten(0, 1)` is the same "
        "memory as [slots, …].",
        "Remove padding first: `stored = slot_mapping >= 0` selects the rows of slot_mapping, k and v.",
        "As a kernel: one program a token. It loads its slot, ends if that is -1, and copies num_kv_heads * head_dim "
        "numbers.",
        "The numbers begin at k_ptr + token * NUMBERS and go to k_cache_ptr + slot * NUMBERS.",
    ],
    rights=[
        store_kv,
        store_by_loop,
        store_by_copy,
        *in_triton("l08.solutions.store_kv", "store_kv"),
        *in_triton("l08.kernel_answers", "store_head_by_head"),
    ],
    budget_s=BUDGET_S,
    why="The numbers of a token for all KV heads are contiguous, in k and in the cache, so a program copies one "
    "contiguous row. The kernel does not need the request of a token: slot_mapping is enough. vLLM's "
    "`reshape_and_cache_flash` does the same.",
)
