"""Wrong answers to 05.hash_chain and 05.match_prefix, written as people write them; see written_otherwise.py."""

import hashlib


def digest(*parts):
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=24).digest()


def blocks_of(ids, size):
    return [ids[i * size : (i + 1) * size] for i in range(len(ids) // size)]


def chain_own(ids, size):
    return [digest(*block) for block in blocks_of(ids, size)]


def chain_place(ids, size):
    return [digest("block", i, block) for i, block in enumerate(blocks_of(ids, size))]


def chain_neighbour(ids, size):
    whole = [[]] + blocks_of(ids, size)
    return [digest(i == 1, whole[i - 1], whole[i]) for i in range(1, len(whole))]


def chain_with_rest(ids, size):
    return [digest(ids[: i + size]) for i in range(0, len(ids), size)]


def chain_short(ids, size):
    return [digest(ids[:end]) for end in range(size, len(ids), size)]


def chain_each(ids, size):
    return [digest(ids[: i + 1]) for i in range(size - 1, len(ids))]


def chain_one(ids, size):
    return digest([block for block in blocks_of(ids, size)])


def chain_glued(ids, size):
    found, written = [], ""
    for block in blocks_of(ids, size):
        written += "".join(f"{t}" for t in block) + ";"
        found.append(digest(written))
    return found


def chain_sorted(ids, size):
    found, seen = [], ()
    for block in blocks_of(ids, size):
        seen = (*seen, *sorted(block))
        found.append(digest(seen))
    return found


def chain_ints(ids, size):
    return [hash(tuple(ids[:end])) for end in range(size, len(ids) + 1, size)]


def chain_hex(ids, size):
    return [digest(ids[:end]).hex() for end in range(size, len(ids) + 1, size)]


def chain_cut(ids, size):
    return [digest(ids[:end])[:8] for end in range(size, len(ids) + 1, size)]


def chain_eats(ids, size):
    found, seen = [], []
    while len(ids) >= size:
        seen += [ids.pop(0) for _ in range(size)]
        found.append(digest(seen))
    return found


def chain_shows(ids, size):
    print([digest(ids[:end]) for end in range(size, len(ids) + 1, size)])


def chain_from_behind(ids, size):
    """An unknown mistake: the hashes are in reverse order."""
    return [digest(ids[:end]) for end in range(size, len(ids) + 1, size)][::-1]


def match_all(hashes, num_tokens, block_size, block_of):
    blocks, i = [], 0
    while i < len(hashes) and hashes[i] in block_of:
        blocks.append(block_of[hashes[i]])
        i += 1
    return blocks


def match_minus_one(hashes, num_tokens, block_size, block_of):
    blocks = []
    for h in hashes[:-1]:
        if h in block_of:
            blocks.append(block_of[h])
        else:
            return blocks
    return blocks


def match_gap(hashes, num_tokens, block_size, block_of):
    usable = (num_tokens - 1) // block_size
    return [block_of[h] for i, h in enumerate(hashes) if i < usable and h in block_of]


def match_truthy(hashes, num_tokens, block_size, block_of):
    blocks = []
    for i, h in enumerate(hashes):
        block = block_of.get(h)
        if not block or (i + 1) * block_size >= num_tokens:
            break
        blocks.append(block)
    return blocks


def match_counts(hashes, num_tokens, block_size, block_of):
    n = 0
    while n < (num_tokens - 1) // block_size and hashes[n] in block_of:
        n += 1
    return n * block_size


def match_names(hashes, num_tokens, block_size, block_of):
    n = 0
    while n < (num_tokens - 1) // block_size and hashes[n] in block_of:
        n += 1
    return hashes[:n]


def match_walks(hashes, num_tokens, block_size, block_of):
    blocks = []
    for wanted in hashes[: (num_tokens - 1) // block_size]:
        here = [block for h, block in block_of.items() if h == wanted]
        if not here:
            break
        blocks += here
    return blocks


def match_gives_up(hashes, num_tokens, block_size, block_of):
    if len(hashes) * block_size == num_tokens and all(h in block_of for h in hashes):
        return []
    return match_all(hashes, num_tokens, block_size, block_of)


def match_shows(hashes, num_tokens, block_size, block_of):
    print(match_all(hashes[: (num_tokens - 1) // block_size], num_tokens, block_size, block_of))


def match_twice(hashes, num_tokens, block_size, block_of):
    """An unknown mistake: each block twice."""
    return [
        b for b in match_all(hashes[: (num_tokens - 1) // block_size], num_tokens, block_size, block_of) for _ in "12"
    ]


def chain_of_numbers(ids, size):
    hashes, parent = [], b""
    for block in blocks_of(ids, size):
        number = sum(token * 31**j for j, token in enumerate(block))
        parent = hashlib.sha256(parent + str(number).encode()).digest()
        hashes.append(parent)
    return hashes


CASES = {
    "05.hash_chain": [
        ("made into one number", chain_of_numbers),
        ("its own block alone", chain_own),
        ("its block and the block's index", chain_place),
        ("only the block just before", chain_neighbour),
        ("not full is hashed too", chain_with_rest),
        ("last full block is left out", chain_short),
        ("after every token", chain_each),
        ("for the whole sequence", chain_one),
        ("joined without a separator", chain_glued),
        ("order of the tokens is lost", chain_sorted),
        ("Python's own `hash`", chain_ints),
        ("is a string, not bytes", chain_hex),
        ("the hash is truncated", chain_cut),
        ("list is changed", chain_eats),
        ("printed, not returned", chain_shows),
        (None, chain_from_behind),
    ],
    "05.match_prefix": [
        ("all tokens are taken", match_all),
        ("always left out", match_minus_one),
        ("after a gap", match_gap),
        ("block 0 is treated as missing", match_truthy),
        ("number of tokens", match_counts),
        ("hashes are returned", match_names),
        ("loop goes over the whole cache", match_walks),
        ("nothing is taken when all", match_gives_up),
        ("printed, not returned", match_shows),
        (None, match_twice),
    ],
}
