"""Answers for 05.match_prefix: two right ones written differently, and wrong ones."""

from .solutions.match_prefix import match_prefix


def match_by_counting(hashes, num_tokens, block_size, block_of):
    n = 0
    while n < len(hashes) and (n + 1) * block_size < num_tokens and hashes[n] in block_of:
        n += 1
    return [block_of[h] for h in hashes[:n]]


def match_with_take(hashes, num_tokens, block_size, block_of):
    from itertools import takewhile

    found = [block_of[h] for h in takewhile(lambda h: h in block_of, hashes)]
    while len(found) * block_size >= num_tokens and found:
        found.pop()
    return found


def wrong(
    limit=lambda hashes, num_tokens, block_size: (num_tokens - 1) // block_size,
    missing=lambda h, block_of: h not in block_of,
    stops=True,
    gives=lambda blocks, used, num_tokens, block_size: blocks,
):
    """A wrong answer: a search with one part replaced."""

    def answer(hashes, num_tokens, block_size, block_of):
        blocks, used = [], []
        for block_hash in hashes[: max(0, limit(hashes, num_tokens, block_size))]:
            if missing(block_hash, block_of):
                if stops:
                    break
                continue
            blocks.append(block_of[block_hash])
            used.append(block_hash)
        return gives(blocks, used, num_tokens, block_size)

    return answer


def nothing_if_all(hashes, num_tokens, block_size, block_of):
    found = match_with_take(hashes, 10**9, block_size, block_of)
    return [] if len(found) * block_size >= num_tokens else found


def last_found_left_out(hashes, num_tokens, block_size, block_of):
    """Takes the last block away that is cached, whether it is the last of the sequence or not."""
    found = match_with_take(hashes, 10**9, block_size, block_of)
    return found[:-1] if num_tokens % block_size == 0 else found


def one_more_left_out(hashes, num_tokens, block_size, block_of):
    """Takes the last block away also where one token comes after it."""
    found = match_with_take(hashes, 10**9, block_size, block_of)
    return found[:-1] if len(found) * block_size >= num_tokens - 1 else found


def all_or_nothing(hashes, num_tokens, block_size, block_of):
    wanted = hashes[: (num_tokens - 1) // block_size]
    return [block_of[h] for h in wanted] if all(h in block_of for h in wanted) else []


def longest_from_behind(hashes, num_tokens, block_size, block_of):
    """Finds the last block that is cached, and takes all blocks before it as cached."""
    wanted = hashes[: (num_tokens - 1) // block_size]
    for n in range(len(wanted), 0, -1):
        if wanted[n - 1] in block_of:
            return [block_of.get(h) for h in wanted[:n]]
    return []


def walks_through(hashes, num_tokens, block_size, block_of):
    wanted = hashes[: (num_tokens - 1) // block_size]
    known = {}
    for block_hash, block in block_of.items():
        known[block_hash] = block
    return match_prefix(wanted, num_tokens, block_size, known)


def looks_up_all(hashes, num_tokens, block_size, block_of):
    found = [h in block_of for h in hashes]
    return [block_of[h] for i, h in enumerate(hashes[: (num_tokens - 1) // block_size]) if all(found[: i + 1])]
