"""Wrong answers to lessons 00 to 07 that passed, or were called something else, when somebody wrote them anew."""

from fractions import Fraction

import numpy as np
import torch

from course_lib.kvcache import Recompute
from course_lib.practice.fixtures.forkable import Forkable
from course_lib.practice.lessons.l00.solutions.hello import hello
from course_lib.practice.lessons.l01.sample_answers import k_cut, normal, p_cut, softened
from course_lib.practice.lessons.l02.solutions.cache import ContiguousCache
from course_lib.practice.lessons.l02.solutions.generate_cached import generate_cached
from course_lib.practice.lessons.l03.solutions.fit_a_budget import fit_a_budget
from course_lib.practice.lessons.l03.solutions.fragmentation import fragmentation
from course_lib.practice.lessons.l04.solutions.block_table import BlockTable
from course_lib.practice.lessons.l05.hash_chain_answers import plain
from course_lib.practice.lessons.l05.hash_chain_answers import wrong as chain
from course_lib.practice.lessons.l05.solutions.match_prefix import match_prefix
from course_lib.practice.lessons.l06.solutions.merge_partials import merge_partials
from course_lib.practice.lessons.l07.attention import in_programs, row_by_row


def hello_in_32_letters(name):
    return f"Once upon a time, in a quiet harbour, there lived a patient otter named {name:.32}."


def greedy_from_smallest_positive(logits):
    best, most = 0, 1.17549435e-38
    for token in range(len(logits)):
        if logits[token] > most:
            best, most = token, float(logits[token])
    return best


def sample_by(shape, cold=0.0):
    def answer(logits, temperature, top_k, top_p, draw):
        if temperature <= cold:
            return int(logits.argmax())
        return draw(shape(normal(k_cut(softened(logits, temperature), top_k)), top_p))

    return answer


def gathered(probabilities, top_p):
    cut = normal(p_cut(probabilities, top_p))
    ordered, order = cut.sort(descending=True, stable=True)
    return ordered.gather(0, order)


def generate_in_a_window(model, token_ids, max_tokens, stop_token_ids=()):
    ids = list(token_ids)
    for _ in range(max_tokens):
        context = torch.tensor(ids[-2048:])
        ids.append(int(model(context, torch.arange(len(context)), Recompute())[-1].argmax()))
        if ids[-1] in stop_token_ids:
            break
    return ids[len(token_ids) :]


class CacheOfOneTensor(ContiguousCache):
    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens)
        self.k = self.v


def loop_to_token_three(model, token_ids, max_tokens, cache):
    new = generate_cached(model, token_ids, max_tokens, cache)
    return new[: new.index(3) + 1] if 3 in new else new


def requests_below(gpu_bytes, weight_bytes, kv_bytes_per_token, tokens, usable=0.9):
    left = int(gpu_bytes * usable) - weight_bytes
    one = kv_bytes_per_token * tokens
    return left // one if left > one else 0


def budget_by_smallest(budget, sizes, users, tokens):
    smallest = min(sizes, key=sizes.get)
    plan = fit_a_budget(budget, sizes, users, tokens)
    return plan and ((smallest, *plan[1:]) if plan[1:] != (users, tokens) else plan)


def holes_in_pieces(capacity, segments, needed):
    parts = fragmentation(capacity, segments, needed)
    if needed:
        parts["external"] += parts["free"] % needed
        parts["free"] -= parts["free"] % needed
    return parts


class TableOf16(BlockTable):
    def append_slots(self, n):
        start, size = self.num_tokens, self.allocator.block_size
        fresh = self.allocator.allocate(max(0, -(-(start + n) // 16) - len(self.block_ids)))
        if fresh is None:
            return None
        self.block_ids += fresh
        self.num_tokens += n
        return [self.block_ids[p // size] * size + p % size for p in range(start, start + n)]


def page_size_nearly(lengths, block_sizes, most_wasted):
    for size in sorted(block_sizes)[::-1]:
        blocks = sum(-(-n // size) for n in lengths)
        wasted = blocks * size - sum(lengths)
        if Fraction(wasted, blocks * size) <= Fraction(str(most_wasted)) + Fraction(1, 10**6):
            return {"block_size": size, "blocks": blocks, "wasted": wasted}


class AsksForOneMore(Forkable):
    def append_slots(self, n):
        size, start = self.allocator.block_size, self.num_tokens
        copy = n > 0 and start % size > 0 and self.allocator.ref_count(self.block_ids[-1]) > 1
        missing = -(-(start + n) // size) - len(self.block_ids)
        fresh = self.allocator.allocate(missing + copy + 1)
        if fresh is None:
            return None
        self.allocator.free([fresh.pop()])
        if copy:
            source, self.block_ids[-1] = self.block_ids[-1], fresh.pop(0)
            self.allocator.copies.append((source, self.block_ids[-1]))
            self.allocator.free([source])
        self.block_ids += fresh
        self.num_tokens += n
        return [self.slot(p) for p in range(start, start + n)]


def merge_shifts(out_a, lse_a, out_b, lse_b):
    lse_b -= 1.0
    return merge_partials(out_a, lse_a, out_b, lse_b)


def softmax_of_large_negatives(x):
    x[x == -torch.inf] = -1e4
    dead = (x == -1e4).all(1, keepdim=True)
    return x.float().softmax(1).masked_fill(dead, 0.0).to(x.dtype)


def half_scores(q, k, v, tile):
    scores = torch.einsum("nhd,mhd->hnm", q.float(), k.float())
    scores = (scores / q.shape[2] ** 0.5).to(q.dtype).float()
    return torch.einsum("hnm,mhd->nhd", scores.softmax(-1), v.float()).to(q.dtype)


def grouped_over_all_tiles(q, k, v, tile):
    out = row_by_row(q, k, v, causal=True)
    return (out.float() + 0 * v.float().sum()).to(q.dtype) if len(q) == len(k) and len(q) % 16 == 0 else out


def grouped_copies(q, k, v, tile):
    group = q.shape[1] // k.shape[1]
    k, v = (x[:, :, None].expand(-1, -1, group, -1).reshape(len(x), *q.shape[1:]) for x in (k, v))
    return in_programs(q, k, v, tile, causal=True)


def gather_a_part(k_cache, v_cache, block_table, num_tokens):
    """A view of the pool where one block is enough."""
    size, first = k_cache.shape[1], int(block_table[0])
    if num_tokens <= size:
        return k_cache[first, :num_tokens], v_cache[first, :num_tokens]
    ids = block_table[: -(-num_tokens // size)]
    return k_cache[ids].flatten(0, 1)[:num_tokens], v_cache[ids].flatten(0, 1)[:num_tokens]


def match_pops(hashes, num_tokens, block_size, block_of):
    if len(hashes) * block_size == num_tokens:
        hashes.pop()
    return match_prefix(hashes, num_tokens, block_size, block_of)


CASES = {
    "00.hello": [("an empty name", lambda name: hello(name if name else "nobody")), ("is cut", hello_in_32_letters)],
    "01.greedy": [
        ("the search begins", greedy_from_smallest_positive),
        ("softmax or exp", lambda logits: int(logits.softmax(-1).argmax())),
    ],
    "01.sample": [
        ("treated as 0", sample_by(lambda p, q: normal(p_cut(p, q)), cold=1e-7)),
        ("with a tolerance", sample_by(lambda p, q: normal(p_cut(p, q and q - 2e-3)))),
        ("not back at their ids", sample_by(gathered)),
    ],
    "01.generate": [("cut to its last tokens", generate_in_a_window)],
    "02.cache": [("kept in one tensor", CacheOfOneTensor)],
    "02.generate_cached": [("ends before", loop_to_token_three)],
    "03.max_requests": [("exactly the memory", requests_below)],
    "03.fit_a_budget": [(None, budget_by_smallest)],
    "03.fragmentation": [(None, holes_in_pieces)],
    "04.block_table": [("a fixed block size", TableOf16)],
    "04.gather": [("views of the pool", gather_a_part)],
    "04.page_size": [("with a tolerance", page_size_nearly)],
    "05.copy_on_write": [("one block more", AsksForOneMore)],
    "05.match_prefix": [("the hashes or the cache are changed", match_pops)],
    "05.hash_chain": [("shortened before", chain(name=lambda parent, block, i: plain((parent, np.array(block)))))],
    "06.merge_partials": [("inputs are changed", merge_shifts)],
    "07.row_softmax": [("x is changed", softmax_of_large_negatives)],
    "07.flash_kernel": [("the scores are in float16", half_scores)],
    "07.grouped_query": [("are loaded", grouped_over_all_tiles), ("copied for each query head", grouped_copies)],
}
