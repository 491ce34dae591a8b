"""Answers for 05.hash_chain: two right ones written differently, and wrong ones."""

from hashlib import blake2b, md5, sha256


def hash_of_whole_beginnings(token_ids, block_size):
    """Hashes the whole sequence up to the end of each block."""
    ends = range(block_size, len(token_ids) + 1, block_size)
    return [md5(",".join(map(str, token_ids[:end])).encode()).digest() for end in ends]


def hash_going_on(token_ids, block_size):
    """One hash object that takes all tokens, one after the other."""
    running, found = blake2b(digest_size=16), []
    for i, token in enumerate(token_ids, 1):
        running.update(int(token).to_bytes(8, "little", signed=True))
        if i % block_size == 0:
            found.append(running.digest())
    return found


def wrong(
    name=lambda parent, block, i: sha256(parent + repr(block).encode()).digest(),
    ends=lambda n, size: range(size, n + 1, size),
    step=None,
):
    """A wrong answer: a chain with one part replaced."""

    def answer(token_ids, block_size):
        hashes, parent = [], b""
        for i, end in enumerate(ends(len(token_ids), block_size)):
            parent = name(parent, token_ids[max(0, end - block_size) if step is None else i * block_size : end], i)
            hashes.append(parent)
        return hashes

    return answer


def only_neighbour(token_ids, block_size):
    """Covers the block before, but no earlier block."""
    ends = range(block_size, len(token_ids) + 1, block_size)
    return [
        sha256(repr((end > block_size, token_ids[max(0, end - 2 * block_size) : end])).encode()).digest()
        for end in ends
    ]


def one_for_all(token_ids, block_size):
    full = len(token_ids) // block_size * block_size
    return sha256(repr(token_ids[:full]).encode()).digest()


def first_in_all(token_ids, block_size):
    """The parent is never updated: each block is hashed with the hash of the first block."""
    hashes = []
    for start in range(0, len(token_ids) - block_size + 1, block_size):
        parent = hashes[0] if hashes else b""
        hashes.append(sha256(parent + repr(token_ids[start : start + block_size]).encode()).digest())
    return hashes


def joined_blocks(token_ids, block_size):
    """Hashes the beginning as one string, in which nothing stands between two blocks."""
    blocks = [token_ids[i : i + block_size] for i in range(0, len(token_ids) - block_size + 1, block_size)]
    strings = [" ".join(map(str, block)) for block in blocks]
    return [sha256("".join(strings[: i + 1]).encode()).digest() for i in range(len(strings))]


def mixed(token_ids, block_size):
    """Combines the hashes of the blocks in a way that does not depend on their order."""
    total, hashes = 0, []
    for start in range(0, len(token_ids) - block_size + 1, block_size):
        total ^= int.from_bytes(sha256(repr(token_ids[start : start + block_size]).encode()).digest(), "big")
        hashes.append(total.to_bytes(32, "big"))
    return hashes


def two_bytes_each(block):
    return b"".join((t % 65536).to_bytes(2, "big") for t in block)


def plain(block):
    return sha256(repr(block).encode()).digest()
