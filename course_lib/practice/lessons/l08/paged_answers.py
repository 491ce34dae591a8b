"""Answers for lesson 08 in plain torch: right ones written otherwise, and wrong ones with many faces."""

from dataclasses import dataclass
from typing import Callable

import torch

from course_lib.errors import OutOfBounds

INF = float("inf")


def decode_column_by_column(q, k_cache, v_cache, block_tables, seq_lens):
    """All sequences and heads at once, a column of the block table after the other."""
    (num_seqs, heads, d), size = q.shape, k_cache.shape[1]
    group = heads // k_cache.shape[2]
    out, lse = torch.zeros_like(q), torch.full((num_seqs, heads), -INF, device=q.device)
    for column in range(block_tables.shape[1]):
        blocks = block_tables[:, column].clamp(min=0)
        k, v = (cache[blocks].repeat_interleave(group, 2) for cache in (k_cache, v_cache))
        filled = column * size + torch.arange(size, device=q.device) < seq_lens[:, None]
        scores = torch.einsum("shd,sthd->sht", q, k).div(d**0.5).masked_fill(~filled[:, None], -INF)
        both = torch.logaddexp(lse, scores.logsumexp(2))
        safe = both.nan_to_num(neginf=0.0)
        out = torch.exp(lse - safe)[..., None] * out + torch.einsum(
            "sht,sthd->shd", torch.exp(scores - safe[..., None]), v
        )
        lse = both
    return out


def decode_token_by_token(q, k_cache, v_cache, block_tables, seq_lens):
    """Slot after slot, as a thread might."""
    size, group = k_cache.shape[1], q.shape[1] // k_cache.shape[2]
    out = torch.zeros_like(q)
    for s, length in enumerate(seq_lens.tolist()):
        for h in range(q.shape[1]):
            total = top = None
            for position in range(length):
                block, offset = int(block_tables[s, position // size]), position % size
                score = float(q[s, h] @ k_cache[block, offset, h // group]) / q.shape[2] ** 0.5
                value = v_cache[block, offset, h // group]
                if top is None:
                    top, total, acc = score, 1.0, value.clone()
                    continue
                higher = max(top, score)
                old, now = (torch.exp(torch.tensor(x - higher, dtype=torch.float64)).item() for x in (top, score))
                top, total, acc = higher, old * total + now, old * acc + now * value
            if total:
                out[s, h] = acc / total
    return out


def prefill_token_by_token(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Every new token is a decode of its own, over what stands up to it."""
    ends, rows, lengths = cu_seqlens_q.tolist(), [], []
    for s, (start, end) in enumerate(zip(ends, ends[1:])):
        rows += [s] * (end - start)
        lengths += range(int(seq_lens[s]) - (end - start) + 1, int(seq_lens[s]) + 1)
    if not rows:
        return torch.zeros_like(q)
    return decode_column_by_column(q, k_cache, v_cache, block_tables[rows], torch.tensor(lengths, device=q.device))


def split_as_rows(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """Each part is a sequence of its own, with a piece of the table; the parts are merged by a softmax over their sums."""
    size, partial, lse = (
        k_cache.shape[1],
        q.new_zeros(*q.shape[:2], num_splits, q.shape[2]),
        q.new_full((*q.shape[:2], num_splits), -INF),
    )
    for s, length in enumerate(seq_lens.tolist()):
        blocks = -(-(-(-length // num_splits)) // size)
        for p in range(num_splits):
            for j in range(p * blocks, min((p + 1) * blocks, -(-length // size))):
                b, filled = int(block_tables[s, j]), min(size, length - j * size)
                for h in range(q.shape[1]):
                    g = h * k_cache.shape[2] // q.shape[1]
                    scores = k_cache[b, :filled, g] @ q[s, h] * q.shape[2] ** -0.5
                    both = torch.logaddexp(lse[s, h, p], scores.logsumexp(0))
                    partial[s, h, p] = (
                        torch.exp(lse[s, h, p] - both) * partial[s, h, p]
                        + torch.exp(scores - both) @ v_cache[b, :filled, g]
                    )
                    lse[s, h, p] = both
    weights = lse.softmax(2).nan_to_num()
    return torch.einsum("shp,shpd->shd", weights, partial), partial, lse


@dataclass(frozen=True, eq=False)
class Wrong:
    """A wrong answer to 08.paged_decode, 08.split_kv or 08.paged_prefill, by its arguments: the right one with a piece replaced."""

    scale: Callable = lambda d: d**-0.5
    kv_head: Callable = lambda head, group, kv_heads: head // group
    row: Callable = lambda tables, sequence: tables[sequence]
    slots: Callable = lambda block, size: block * size + torch.arange(size)
    outside: type | None = None
    """What an entry of the table that is none leads to. None: another block | IndexError: as in torch, for an entry behind the row | OutOfBounds: as in a kernel,
    for a block of -1 and for an entry behind the table"""
    line: Callable = lambda slots, kv_heads, kv_head: slots * kv_heads + kv_head
    """Of head_dim numbers, in the memory of a cache."""
    length: Callable = lambda length: length
    tail: str = "masked"
    """masked | read: the whole last block | zeros: they take part as keys and values of 0 | dropped: not read at all"""
    values: str = "v"
    acc_shrinks: bool = True
    total_shrinks: bool = True
    subtracts: bool = True
    divides: bool | str = True
    """At the end; "each": in every turn as well."""
    weighs: bool = True
    """Whether blocks weigh by their sums; else each is an average of its own, and the blocks are averaged."""
    last_block_only: bool | str = False
    """"of the sequence": and a row that sees nothing of that is nan."""
    guards: bool | str = True
    """Against a sum of 0; "length": only where there are no tokens, so that a sum may still underflow."""
    scales_q_in_place: bool = False
    # of prefill
    causal: bool = True
    itself: bool = True
    position: Callable = lambda i, past, start: past + i
    first_row: Callable = lambda ends, sequence: ends[sequence]
    by_line: bool = False
    """Whether positions are counted by line, of which a token has one for each head of a group."""
    new: Callable = lambda ends, sequence: ends[sequence + 1] - ends[sequence]
    writes: Callable | None = None
    """writes(ends, sequence): the row of the output where a sequence begins; None: that of q."""
    unwritten: float = 0.0
    no_row: type | None = None
    """What a row that q has not leads to: None: nothing."""
    only_new: bool | str = False
    """"blocks": from the begin of the block on in which the first new token is."""
    later: int | None = None
    """A row sees what comes after it, from so many tokens on, and nothing else."""
    nan_before: bool = False
    """Whether a first block of which nothing is seen makes nan."""
    only_last: bool = False
    # of splitting
    part: Callable = lambda length, num_splits, size: -(-(-(-length // num_splits)) // size) * size
    begin: Callable = lambda p, part: p * part
    cuts: bool | str = True
    """Whether a part ends with the sequence; "at the end": only there."""
    guards_part: bool = True
    lse: Callable = lambda top, total: top + total.log()
    merge: Callable = lambda partial, lse: torch.einsum("shp,shpd->shd", lse.softmax(2).nan_to_num(), partial)
    reported: Callable = lambda lse: lse

    @property
    def __name__(self):
        return "paged"

    def __call__(self, q, k_cache, v_cache, block_tables, seq_lens, more=None):
        if self.scales_q_in_place:
            q *= q.shape[2] ** -0.5
        if isinstance(more, int):
            return self.split(q, k_cache, v_cache, block_tables, seq_lens, more)
        ends, group = list(range(len(q) + 1)) if more is None else more.tolist(), q.shape[1] // k_cache.shape[2]
        out, size = torch.full_like(q, self.unwritten), k_cache.shape[1]
        step = size if self.only_new == "blocks" else 1
        for s, length in enumerate(seq_lens.tolist()):
            new = self.new(ends, s)
            for i in range(new):
                row, to = self.first_row(ends, s) + i, (self.writes or self.first_row)(ends, s) + i
                if max(row, to) >= len(q) and self.no_row:
                    raise self.no_row
                if max(row, to) >= len(q) or (self.only_last and i < new - 1):
                    continue
                begin = (length - new) // step * step if self.only_new else 0
                for h in range(q.shape[1]):
                    at = self.position(i * group + h % group if self.by_line else i, length - new, ends[s])
                    see = min(length, at + self.itself) if self.causal else length
                    if self.later is not None:
                        begin, see = at + self.later, length
                    top, total, acc = self.walk(
                        q[row, h], h, q.shape[1], k_cache, v_cache, self.table(block_tables, s), begin, self.length(see)
                    )
                    behind = self.last_block_only == "of the sequence" and (see - 1) // size < (length - 1) // size
                    out[to, h] = (
                        INF - INF
                        if behind or self.nan_before and begin >= size
                        else self.done(total, acc, see <= 0 if self.guards == "length" else self.guards)
                    )
        return out

    def split(self, q, k_cache, v_cache, block_tables, seq_lens, num_splits):
        size = k_cache.shape[1]
        partial, lse = q.new_zeros(*q.shape[:2], num_splits, q.shape[2]), q.new_full((*q.shape[:2], num_splits), -INF)
        for s, length in enumerate(seq_lens.tolist()):
            part = self.part(length, num_splits, size)
            for p in range(num_splits):
                begin = self.begin(p, part)
                for h in range(q.shape[1]):
                    top, total, acc = self.walk(
                        q[s, h],
                        h,
                        q.shape[1],
                        k_cache,
                        v_cache,
                        self.table(block_tables, s),
                        begin,
                        self.part_end(begin + part, self.length(length)),
                    )
                    partial[s, h, p] = self.done(total, acc, self.guards_part)
                    lse[s, h, p] = self.lse(top, total)
        return self.merge(partial, lse), partial, self.reported(lse)

    def part_end(self, end, length):
        return {True: min(end, length), False: end}.get(self.cuts, length)

    def table(self, block_tables, sequence):
        return self.row(block_tables, sequence).tolist()

    def walk(self, q, head, heads, k_cache, v_cache, table, begin, end):
        """(top, total, acc) of one query over the positions begin .. end."""
        size, kv_heads = k_cache.shape[1:3]
        kv_head = self.kv_head(head, heads // kv_heads, kv_heads)
        flat_k, flat_v = (x.flatten(0, 2) for x in (k_cache, v_cache))
        top, total, acc, blocks = q.new_tensor(-INF), q.new_tensor(0.0), torch.zeros_like(q), 0
        if self.tail == "dropped":
            end -= end % size
        first_block = begin // size * size if begin < end else end
        if self.last_block_only and end > begin:
            first_block = (end - 1) // size * size
        for first in range(first_block, end, size):
            entry = first // size
            if self.outside and entry >= len(table) or self.outside is OutOfBounds and table[entry] < 0:
                raise self.outside("no block")
            slots = self.slots(table[min(entry, len(table) - 1)], size) % (len(flat_k) // kv_heads)
            if self.tail != "read":
                slots = slots[max(0, begin - first) : end - first]
            lines = self.line(slots, kv_heads, kv_head)
            scores = flat_k[lines] @ q * (1.0 if self.scales_q_in_place else self.scale(len(q)))
            v = (flat_v if self.values == "v" else flat_k)[lines]
            if self.tail == "zeros":
                scores, v = (torch.cat([x, x.new_zeros(size - len(slots), *x.shape[1:])]) for x in (scores, v))
            if not self.weighs:
                blocks, acc = blocks + 1, acc + scores.softmax(0) @ v
                total = q.new_tensor(float(blocks))
                continue
            new_top = torch.maximum(top, scores.max()) if self.subtracts else q.new_tensor(0.0)
            weights, shrink = (
                torch.exp(scores - new_top),
                torch.exp(top - new_top) if self.subtracts else q.new_tensor(1.0),
            )
            total = (shrink if self.total_shrinks else 1.0) * total + weights.sum()
            acc = (shrink if self.acc_shrinks else 1.0) * acc + weights @ v
            top = new_top
            if self.divides == "each":
                acc = acc / total
        return top, total, acc

    def done(self, total, acc, guards):
        if self.divides is not True:
            return acc
        return acc / (1.0 if guards and total == 0 else total)
