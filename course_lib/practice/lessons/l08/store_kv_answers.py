"""Answers for 08.store_kv in plain torch: three right ones, and wrong ones."""


def store_kv(k, v, k_cache, v_cache, slot_mapping):
    """Writes token i to slot slot_mapping[i] of the caches, in place. k, v: [num_tokens, num_kv_heads, head_dim]."""
    stored = slot_mapping >= 0  # -1 is padding
    slots = slot_mapping[stored]
    k_cache.flatten(0, 1)[slots] = k[stored]
    v_cache.flatten(0, 1)[slots] = v[stored]


def store_by_loop(k, v, k_cache, v_cache, slot_mapping):
    size = k_cache.shape[1]
    for token, slot in enumerate(slot_mapping.tolist()):
        if slot != -1:
            block, offset = divmod(slot, size)
            k_cache[block, offset], v_cache[block, offset] = k[token], v[token]


def store_by_copy(k, v, k_cache, v_cache, slot_mapping):
    keep = (slot_mapping != -1).nonzero().flatten()
    for new, cache in ((k, k_cache), (v, v_cache)):
        cache.view(-1, *cache.shape[2:]).index_copy_(0, slot_mapping[keep], new[keep])


def pads_at_slot_0(k, v, k_cache, v_cache, slot_mapping):
    """Gives padding slot 0, with what stands there."""
    slots, stored = slot_mapping.clamp(min=0), (slot_mapping >= 0)[:, None, None]
    for new, cache in ((k, k_cache.flatten(0, 1)), (v, v_cache.flatten(0, 1))):
        new = new.where(stored, cache[slots])
        for slot, numbers in zip(slots.tolist(), new):
            cache[slot] = numbers


def looped(
    where=lambda slot, size, token, count: divmod(slot, size),
    of=lambda token, slots: token,
    skips=lambda slot: slot < 0,
    to=lambda k, v: (k, v),
    write=None,
):
    """A wrong answer: the loop over tokens with a part replaced."""

    def wrong(k, v, k_cache, v_cache, slot_mapping):
        size, slots = k_cache.shape[1], slot_mapping.tolist()
        k, v = to(k, v)
        for token, slot in enumerate(slots):
            if skips(slot):
                continue
            block, offset = where(slot, size, token, len(slots))
            for new, cache in ((k, k_cache), (v, v_cache)):
                if new is not None:
                    (write or put)(cache, block, offset, new[of(token, slots)])

    return wrong


def put(cache, block, offset, numbers):
    cache[block, offset] = numbers


def add(cache, block, offset, numbers):
    cache[block, offset] += numbers


def fill_block(cache, block, offset, numbers):
    cache[block] = numbers


def first_head(cache, block, offset, numbers):
    cache[block, offset, 0] = numbers[0]


def heads_mixed(cache, block, offset, numbers):
    cache[block, offset] = numbers.T.reshape(numbers.shape)


def nothing(k, v, k_cache, v_cache, slot_mapping):
    k_cache, v_cache = k_cache.clone(), v_cache.clone()
    store_kv(k, v, k_cache, v_cache, slot_mapping)
    return k_cache, v_cache


def clears(k, v, k_cache, v_cache, slot_mapping):
    k_cache.zero_()
    v_cache.zero_()
    store_kv(k, v, k_cache, v_cache, slot_mapping)


def masks_in_place(k, v, k_cache, v_cache, slot_mapping):
    store_kv(k, v, k_cache, v_cache, slot_mapping)
    k[slot_mapping < 0] = 0
    slot_mapping.clamp_(min=0)


def first_head_long(k, v, k_cache, v_cache, slot_mapping):
    """A wrong answer: a token has head_dim numbers, in k and v and in the caches."""
    store_kv(
        k.reshape(-1, k.shape[2])[: len(k)],
        v.reshape(-1, v.shape[2])[: len(v)],
        k_cache.view(-1, 1, k.shape[2]),
        v_cache.view(-1, 1, k.shape[2]),
        slot_mapping,
    )


def slot_one_head_long(k, v, k_cache, v_cache, slot_mapping):
    """A wrong answer: a slot has head_dim numbers."""
    for token, slot in enumerate(slot_mapping.tolist()):
        if slot >= 0:
            for new, cache in ((k, k_cache), (v, v_cache)):
                cache.view(-1, k.shape[2])[slot : slot + k.shape[1]] = new[token]


def number_by_number(slot_step, token_step):
    """A wrong answer: a slot or a token has one number. slot_step, token_step: True for one, False for all."""

    def wrong(k, v, k_cache, v_cache, slot_mapping):
        count = k[0].numel() if len(k) else 0
        for token, slot in enumerate(slot_mapping.tolist()):
            for new, cache in ((k, k_cache), (v, v_cache)) if slot >= 0 else ():
                to, source = slot * (1 if slot_step else count), token * (1 if token_step else count)
                cache.view(-1)[to : to + count] = new.flatten()[source : source + count]

    return wrong


def by_num_blocks(k, v, k_cache, v_cache, slot_mapping):
    for token, slot in enumerate(slot_mapping.tolist()):
        if slot >= 0:
            block, offset = divmod(slot, len(k_cache))
            k_cache[block, offset], v_cache[block, offset] = k[token], v[token]


def heads_before_offsets(k, v, k_cache, v_cache, slot_mapping):
    """A wrong answer for caches of [num_blocks, num_kv_heads, block_size, head_dim]."""
    for token, slot in enumerate(slot_mapping.tolist()):
        if slot >= 0:
            block, offset = divmod(slot, k_cache.shape[2])
            k_cache[block, :, offset], v_cache[block, :, offset] = k[token], v[token]


def by_fixed_size(size):
    """A wrong answer: blocks of `size` tokens, whatever the caches have."""

    def wrong(k, v, k_cache, v_cache, slot_mapping):
        for token, slot in enumerate(slot_mapping.tolist()):
            if slot >= 0:
                block, offset = divmod(slot, size)
                k_cache[block, offset], v_cache[block, offset] = k[token], v[token]

    return wrong


def both_into_keys(k, v, k_cache, v_cache, slot_mapping):
    store_kv(v, v, k_cache, v_cache.clone(), slot_mapping)


def until_padding(k, v, k_cache, v_cache, slot_mapping):
    count = next((i for i, slot in enumerate(slot_mapping.tolist()) if slot < 0), len(slot_mapping))
    store_kv(k[:count], v[:count], k_cache, v_cache, slot_mapping[:count])


def stored_so_far(token, slots):
    """The index of the token among those that are stored, without the padding between them."""
    return sum(slot >= 0 for slot in slots[:token])
