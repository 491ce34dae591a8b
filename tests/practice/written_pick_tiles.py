"""Wrong answers to 13.pick_tiles as people write them; see written_otherwise.py. RIGHT: other right ones."""

import itertools
import math

import torch

SIDES = (128, 64, 32, 16)


def power(n):
    return 1 << (n - 1).bit_length()


def programs(block_m, query_lens, num_heads):
    return num_heads * sum(math.ceil(n / block_m) for n in query_lens)


def pick(
    rows=lambda m, n, stages: m + 2 * stages * n,
    width=power,
    room=lambda memory: memory,
    busy=lambda m, lens, heads, sms: programs(m, lens, heads) >= sms,
    tries=SIDES,
    may=lambda m, n: True,
    fallback=lambda fit: max(pair for pair in fit if pair[0] == 16),
    stages_if_none=2,
):
    """A wrong answer: all pairs, with a part replaced."""

    def answer(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=stages_if_none):
        fit = [
            (m, n)
            for m in tries
            for n in tries
            if may(m, n) and rows(m, n, stages) * width(head_dim) * itemsize <= room(shared_memory)
        ]
        if not fit:
            return None
        return max([pair for pair in fit if busy(pair[0], query_lens, num_heads, sms)] or [fallback(fit)])

    return answer


def as_the_longest(block_m, query_lens, num_heads, sms):
    return programs(block_m, [max(query_lens)] * len(query_lens), num_heads) >= sms


def no_larger_than_needed(block_m, query_lens, num_heads, sms):
    return (block_m == 16 or block_m // 2 < max(query_lens)) and programs(block_m, query_lens, num_heads) >= sms


def rows_first(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """Finds block_m by the multiprocessors alone, whether it fits or not."""
    block_m = next((m for m in SIDES if programs(m, query_lens, num_heads) >= sms), 16)
    for block_n in SIDES:
        if (block_m + 2 * stages * block_n) * power(head_dim) * itemsize <= shared_memory:
            return block_m, block_n


def never_grows_again(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """Makes tiles smaller until they fit, then block_m smaller, and leaves block_n as it was."""
    m = n = 128
    while (m + 2 * stages * n) * power(head_dim) * itemsize > shared_memory:
        if n > 16:
            n //= 2
        elif m > 16:
            m //= 2
            n = m
        else:
            return None
    while m > 16 and programs(m, query_lens, num_heads) < sms:
        m //= 2
    return m, n


def raises_where_nothing_fits(*args, **more):
    got = first_that_will_do(*args, **more)
    if got is None:
        raise ValueError("no tiles fit")
    return got


def sixteen_where_nothing_fits(*args, **more):
    return first_that_will_do(*args, **more) or (16, 16)


def sorts_the_list(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    query_lens.sort(reverse=True)
    return first_that_will_do(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages)


def by_name(*args, **more):
    got = first_that_will_do(*args, **more)
    return got and {"block_m": got[0], "block_n": got[1]}


def turned(*args, **more):
    got = first_that_will_do(*args, **more)
    return got and (got[1], got[0])


def first_that_will_do(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    def block_n(m):
        return next((n for n in SIDES if (m + 2 * stages * n) * power(head_dim) * itemsize <= shared_memory), None)

    for m in SIDES:
        if block_n(m) and programs(m, query_lens, num_heads) >= sms:
            return [m, block_n(m)]
    return [16, block_n(16)] if block_n(16) else None


def grows(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    """Keeps the best of all pairs, from small to large."""
    best = None
    for m, n in itertools.product(sorted(SIDES), sorted(SIDES)):
        taken = (m + n * stages + n * stages) * 2 ** math.ceil(math.log2(head_dim)) * itemsize
        if taken <= shared_memory and (m == 16 or programs(m, query_lens, num_heads) >= sms):
            best = max(best or (0, 0), (m, n))
    return best


def in_tensors(head_dim, itemsize, shared_memory, sms, query_lens, num_heads, stages=2):
    pairs, lens = torch.cartesian_prod(torch.tensor(SIDES), torch.tensor(SIDES)), torch.tensor(query_lens)
    fit = (pairs[:, 0] + 2 * stages * pairs[:, 1]) * power(head_dim) * itemsize <= shared_memory
    busy = ((lens + pairs[:, :1] - 1) // pairs[:, :1]).sum(1) * num_heads >= sms
    for left in (pairs[fit & busy], pairs[fit & (pairs[:, 0] == 16)]):
        if len(left):
            return tuple(left[0])


RIGHT = {"13.pick_tiles": [first_that_will_do, grows, in_tensors]}
CASES = {
    "13.pick_tiles": [
        ("stages are not counted", pick(rows=lambda m, n, stages: m + n + n)),
        ("only one of K and V", pick(rows=lambda m, n, stages: m + n * stages)),
        (None, pick(rows=lambda m, n, stages: m + n * stages + n)),
        ("tile of Q is not counted", pick(rows=lambda m, n, stages: 2 * n * stages)),
        ("once for each stage", pick(rows=lambda m, n, stages: (m + n + n) * stages)),
        ("not rounded up to a power", pick(width=lambda head_dim: head_dim)),
        (None, pick(width=lambda head_dim: max(64, power(head_dim)))),
        (None, pick(room=lambda memory: memory // 1024 * 1024)),
        ("fit exactly are refused", pick(room=lambda memory: memory - 1)),
        ("lengths are added before", pick(busy=lambda m, lens, heads, sms: heads * -(-sum(lens) // m) >= sms)),
        ("heads are not counted", pick(busy=lambda m, lens, heads, sms: programs(m, lens, 1) >= sms)),
        ("more than one program", pick(busy=lambda m, lens, heads, sms: programs(m, lens, heads) >= 2 * sms)),
        ("exactly one program", pick(busy=lambda m, lens, heads, sms: programs(m, lens, heads) > sms)),
        ("rounded down", pick(busy=lambda m, lens, heads, sms: sum(n // m for n in lens) * heads >= sms)),
        ("as long as the longest", pick(busy=as_the_longest)),
        ("not looked at", pick(busy=lambda m, lens, heads, sms: True)),
        ("largest tiles are taken", pick(fallback=max)),
        (None, pick(tries=range(128, 15, -16))),
        ("sides above 128", pick(tries=(256, *SIDES))),
        ("only square tiles", pick(may=lambda m, n: m == n)),
        ("tried for block_m", pick(may=lambda m, n: m < 128)),
        ("block_n is at most block_m", pick(may=lambda m, n: n <= m)),
        (None, pick(stages_if_none=1)),
        ("before it is known what fits", rows_first),
        (None, never_grows_again),
        (None, raises_where_nothing_fits),
        ("something else than None", sixteen_where_nothing_fits),
        ("list is changed", sorts_the_list),
        (None, by_name),
        ("exchanged", turned),
        ("not larger than the sequences", pick(busy=no_larger_than_needed)),
    ]
}  # fmt: skip
