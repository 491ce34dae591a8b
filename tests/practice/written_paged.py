"""Wrong answers to 04.slot_mapping, 04.gather, 04.page_size and 04.find_the_leak."""

import torch


def slots_first_row(block_tables, seq_ids, positions, block_size):
    return torch.tensor([int(block_tables[0][p // block_size]) * block_size + int(p) % block_size for p in positions])


def slots_no_offset(block_tables, seq_ids, positions, block_size):
    return torch.stack([block_tables[s, p // block_size] * block_size for s, p in zip(seq_ids, positions)])


def slots_divided(block_tables, seq_ids, positions, block_size):
    blocks = block_tables[seq_ids, (positions / block_size).long()]
    return (blocks * block_size + positions % block_size) / 1


def slots_mixed_up(block_tables, seq_ids, positions, block_size):
    return block_tables[seq_ids, positions % block_size % block_tables.shape[1]] * block_size + positions // block_size


def slots_rounded(block_tables, seq_ids, positions, block_size):
    last = block_tables.shape[1] - 1
    places = [
        min(last, -(-int(p + 1) // block_size) if (p + 1) % block_size == 0 else int(p) // block_size)
        for p in positions
    ]
    return torch.tensor(
        [int(block_tables[s, at]) * block_size + int(p) % block_size for s, at, p in zip(seq_ids, places, positions)]
    )


def slots_backwards(block_tables, seq_ids, positions, block_size):
    blocks = block_tables[seq_ids, positions // block_size]
    return (blocks + 1) * block_size - 1 - positions % block_size


def gather_whole(k_cache, v_cache, block_table, num_tokens):
    used = [b for b in block_table.tolist() if b >= 0]
    return torch.cat([k_cache[b] for b in used]), torch.cat([v_cache[b] for b in used])


def gather_floor(k_cache, v_cache, block_table, num_tokens):
    full = num_tokens // k_cache.shape[1]
    return tuple(
        x.index_select(0, block_table[:full]).reshape(-1, *x.shape[2:])[:num_tokens] for x in (k_cache, v_cache)
    )


def gather_masked(k_cache, v_cache, block_table, num_tokens):
    needed = -(-num_tokens // k_cache.shape[1])
    mask = torch.zeros(len(k_cache), dtype=torch.bool)
    mask[block_table[:needed]] = True
    return k_cache[mask].flatten(0, 1)[:num_tokens], v_cache[mask].flatten(0, 1)[:num_tokens]


def gather_keys(k_cache, v_cache, block_table, num_tokens):
    size = k_cache.shape[1]
    rows = [(int(block_table[p // size]), p % size) for p in range(num_tokens)]
    both = torch.stack([k_cache[b, o] for b, o in rows])
    return both, both.clone()


def gather_last(k_cache, v_cache, block_table, num_tokens):
    size = k_cache.shape[1]
    rows = [(int(block_table[p // size]), p % size) for p in range(num_tokens - 1)]
    empty = k_cache[:0, 0]
    return tuple(torch.stack([x[b, o] for b, o in rows]) if rows else empty for x in (k_cache, v_cache))


def gather_upside_down(k_cache, v_cache, block_table, num_tokens):
    size = k_cache.shape[1]
    slots = torch.stack([block_table[p // size] * size + p % size for p in range(num_tokens)])
    return k_cache.flatten(0, 1)[slots].flip(0), v_cache.flatten(0, 1)[slots].flip(0)


def size_smallest(lengths, block_sizes, most_wasted):
    for size in sorted(block_sizes):
        blocks = sum((length + size - 1) // size for length in lengths)
        if (blocks * size - sum(lengths)) / (blocks * size) <= most_wasted:
            return {"block_size": size, "blocks": blocks, "wasted": blocks * size - sum(lengths)}


def size_together(lengths, block_sizes, most_wasted):
    fits = {}
    for size in block_sizes:
        blocks = (sum(lengths) + size - 1) // size
        fits[size] = blocks, blocks * size - sum(lengths)
    good = [s for s, (blocks, wasted) in fits.items() if wasted <= most_wasted * blocks * s]
    return {"block_size": max(good), "blocks": fits[max(good)][0], "wasted": fits[max(good)][1]} if good else None


def size_plus_one(lengths, block_sizes, most_wasted):
    best = None
    for size in sorted(block_sizes):
        blocks = sum(length // size + 1 for length in lengths)
        wasted = sum((length // size + 1) * size - length for length in lengths)
        if wasted / (blocks * size) <= most_wasted:
            best = dict(block_size=size, blocks=blocks, wasted=wasted)
    return best


def size_of_tokens(lengths, block_sizes, most_wasted):
    tokens, best = sum(lengths), None
    for size in sorted(block_sizes):
        blocks = sum(-(-length // size) for length in lengths)
        if (blocks * size - tokens) / tokens <= most_wasted:
            best = {"block_size": size, "blocks": blocks, "wasted": blocks * size - tokens}
    return best


def size_strict(lengths, block_sizes, most_wasted):
    sizes = sorted(block_sizes)[::-1]
    for size in sizes:
        blocks = sum(-(-length // size) for length in lengths)
        free = blocks * size - sum(lengths)
        if free < most_wasted * blocks * size:
            return {"block_size": size, "blocks": blocks, "wasted": free}
    return None


def size_random(lengths, block_sizes, most_wasted):
    return {"block_size": 16, "blocks": 1, "wasted": 0}


def leak_once(make_allocator):
    """Tries each operation once."""
    allocator = make_allocator(4, 1)
    if allocator.allocate(9) is None and allocator.num_free != 4:
        return "allocate", "lost"
    one, two = allocator.allocate(2)
    if allocator.num_free != 2:
        return "allocate", "twice"
    allocator.fork([one, two])
    if allocator.ref_count(two) != 2:
        return "fork", "count"
    allocator.free([one, two])
    if allocator.num_free != 2:
        return "free", "twice"
    if allocator.ref_count(one) != 1:
        return "free", "count"
    allocator.free([one, two])
    if allocator.num_free != 4:
        return "free", "lost"


def leak_alone(make_allocator):
    """Three rounds without a shared block."""
    allocator = make_allocator(8, 4)
    for _ in range(3):
        allocator.allocate(20)
        if allocator.num_free < 8:
            return "allocate", "lost"
        blocks = allocator.allocate(3)
        if allocator.num_free > 5:
            return "allocate", "twice"
        allocator.free(blocks)
        if allocator.num_free < 8:
            return "free", "lost"
    return None


def leak_at_the_end(make_allocator):
    """Compares only after several calls."""
    allocator = make_allocator(8, 4)
    for _ in range(3):
        allocator.allocate(20)
        blocks = allocator.allocate(3)
        allocator.fork(blocks)
        allocator.free(blocks)
        counts = [allocator.ref_count(b) for b in blocks]
        if allocator.num_free != 5:
            return "free", "lost" if allocator.num_free < 5 else "twice"
        if counts != [1, 1, 1]:
            return "free", "count"
        allocator.free(blocks)
        if allocator.num_free != 8:
            return "free", "lost" if allocator.num_free < 8 else "twice"
    return None


def leak_guess(make_allocator):
    return "free", "lost"


def slots_first_if_alone(tables, ids, positions, size):
    """Takes the first table where all tokens are of one sequence."""
    row = ids if len(set(ids.tolist())) > 1 else 0
    return tables[row, positions // size] * size + positions % size


def gather_in_float32(k_cache, v_cache, block_table, num_tokens):
    return tuple(x[block_table].flatten(0, 1)[:num_tokens].float() for x in (k_cache, v_cache))


CASES = {
    "04.slot_mapping": [
        (None, slots_first_if_alone),
        ("uses the first table", slots_first_row),
        ("offset is not added", slots_no_offset),
        ("not an int64", slots_divided),
        ("division and remainder", slots_mixed_up),
        ("one off at the end of a block", slots_rounded),
        (None, slots_backwards),
    ],
    "04.gather": [
        ("another dtype", gather_in_float32),
        ("after the last token", gather_whole),
        ("left out if it is not full", gather_floor),
        ("order of the blocks", gather_masked),
        ("from the keys", gather_keys),
        ("last token is left out", gather_last),
        (None, gather_upside_down),
    ],
    "04.page_size": [
        ("smallest size is chosen", size_smallest),
        ("added up before rounding", size_together),
        ("one block too many", size_plus_one),
        ("relative to the tokens", size_of_tokens),
        ("`most_wasted` is refused", size_strict),
        (None, size_random),
    ],
    "04.find_the_leak": [
        ("tried only once", leak_once),
        ("ever shared", leak_alone),
        ("compare after every call", leak_at_the_end),
        (None, leak_guess),
    ],
}
