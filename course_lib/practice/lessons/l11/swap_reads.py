"""Wrong ways to read the tokens of a swapped-out request: from `part`, n tokens in the blocks `block_ids`."""


def views(part, block_ids, n):
    """Views of the engine's own memory, one for each block."""
    return [part[:, b] for b in block_ids]


def full_blocks(part, block_ids, n):
    """Zeros for the tokens of a last block that is not full."""
    tokens = part[:, block_ids].flatten(1, 2)[:, :n].clone()
    tokens[:, n // part.shape[2] * part.shape[2] :] = 0
    return tokens


def last_block(part, block_ids, n):
    """Zeros for all tokens before the last block."""
    tokens = part[:, block_ids].flatten(1, 2)[:, :n].clone()
    tokens[:, : (n - 1) // part.shape[2] * part.shape[2]] = 0
    return tokens


def ids_as_slots(part, block_ids, n):
    """n tokens from the slot whose number is the first block's id."""
    return part.flatten(1, 2).roll(-block_ids[0], 1)[:, :n].clone()


def ids_plus_offsets(part, block_ids, n):
    """Tokens from slot `block id + offset`."""
    slots = [b + i for b in block_ids for i in range(part.shape[2])][:n]
    return part.flatten(1, 2)[:, slots].clone()


def blocks_whole(part, block_ids, n):
    """All slots of the blocks, also those after the last token."""
    return part[:, block_ids].flatten(1, 2).clone()


def one_more(part, block_ids, n):
    return blocks_whole(part, block_ids, n)[:, : n + 1]


def past_the_end(part, block_ids, n):
    """The tokens of the request, and the newest one, for which there may be no block yet."""
    size = part.shape[2]
    slots = [block_ids[i // size] * size + i % size for i in range(n + 1)]
    return part.flatten(1, 2)[:, slots].clone()
