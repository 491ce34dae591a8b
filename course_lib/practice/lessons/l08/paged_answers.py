"""Answers for lesson 08 in plain torch: right ones written differently, and `Wrong`, with parts replaced."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from course_lib.errors import OutOfBounds

INF = float("inf")


def decode_column_by_column(q, k_cache, v_cache, block_tables, seq_lens):
    """Right: all sequences and heads at once, one column of the block table after the other."""
    (num_seqs, heads, d), size = q.shape, k_cache.shape[1]
    group = heads // k_cache.shape[2]
    out, lse = torch.zeros_like(q), torch.full((num_seqs, heads), -INF, device=q.device)
    for column in range(block_tables.shape[1]):
        blocks = block_tables[:, column].clamp(min=0)
        k, v = (cache[blocks].repeat_interleave(group, 2) for cache in (k_cache, v_cache))
        filled = column * size + torch.arange(size, device=q.device) < seq_lens[:, None]
        v = v.masked_fill(~filled[..., None, None], 0.0)
        scores = torch.einsum("shd,sthd->sht", q, k).div(d**0.5).masked_fill(~filled[:, None], -INF)
        both = torch.logaddexp(lse, scores.logsumexp(2))
        safe = both.nan_to_num(neginf=0.0)
        out = torch.exp(lse - safe)[..., None] * out + torch.einsum(
            "sht,sthd->shd", torch.exp(scores - safe[..., None]), v
        )
        lse = both
    return out


def decode_token_by_token(q, k_cache, v_cache, block_tables, seq_lens):
    """Right: one token after the other."""
    size, group = k_cache.shape[1], q.shape[1] // k_cache.shape[2]
    out = torch.zeros_like(q)
    for s, length in enumerate(seq_lens.tolist()):
        for h in range(q.shape[1]):
            l_i = m_i = None
            for position in range(length):
                block, offset = int(block_tables[s, position // size]), position % size
                score = float(q[s, h] @ k_cache[block, offset, h // group]) / q.shape[2] ** 0.5
                value = v_cache[block, offset, h // group]
                if m_i is None:
                    m_i, l_i, acc = score, 1.0, value.clone()
                    continue
                new_m = max(m_i, score)
                old, now = (torch.exp(torch.tensor(x - new_m, dtype=torch.float64)).item() for x in (m_i, score))
                m_i, l_i, acc = new_m, old * l_i + now, old * acc + now * value
            if l_i:
                out[s, h] = acc / l_i
    return out


def prefill_token_by_token(q, k_cache, v_cache, block_tables, seq_lens, cu_seqlens_q):
    """Right: every new token is a decode of its own, over the tokens up to itself."""
    ends, rows, lengths = cu_seqlens_q.tolist(), [], []
    for s, (start, end) in enumerate(zip(ends, ends[1:])):
        rows += [s] * (end - start)
        lengths += range(int(seq_lens[s]) - (end - start) + 1, int(seq_lens[s]) + 1)
    if not rows:
        return torch.zeros_like(q)
    return decode_column_by_column(q, k_cache, v_cache, block_tables[rows], torch.tensor(lengths, device=q.device))


def whole_blocks(length, num_splits, size):
    """The blocks of a part: length / num_splits tokens, rounded up to whole blocks."""
    tokens = -(-length // num_splits)
    return -(-tokens // size)


def split_as_rows(q, k_cache, v_cache, block_tables, seq_lens, num_splits):
    """Right: one block after the other within each part; the parts are merged by a softmax of their log-sum-exps."""
    size, partial, lse = (
        k_cache.shape[1],
        q.new_zeros(*q.shape[:2], num_splits, q.shape[2]),
        q.new_full((*q.shape[:2], num_splits), -INF),
    )
    for s, length in enumerate(seq_lens.tolist()):
        blocks = whole_blocks(length, num_splits, size)
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
    """A wrong answer to 08.paged_decode, 08.split_kv or 08.paged_prefill: the right one with a part replaced.

    Which of the three it answers depends on the last argument of its call.
    """

    scale: Callable = lambda d: d**-0.5
    kv_head: Callable = lambda head, group, kv_heads: head // group
    row: Callable = lambda tables, sequence: tables[sequence]
    slots: Callable = lambda block, size: block * size + torch.arange(size)
    outside: type | None = None
    """What an entry that names no block gives. None: another block | IndexError: as in torch, after the end of
    the row | OutOfBounds: as in a kernel, for a block of -1 and after the end of the table"""
    line: Callable = lambda slots, kv_heads, kv_head, size, blocks: slots * kv_heads + kv_head
    """line(slots, kv_heads, kv_head, block_size, num_blocks): the rows of head_dim numbers in the memory of a cache."""
    length: Callable = lambda length: length
    tail: str = "masked"
    """masked | read: the whole last block is used | zeros: as keys and values of 0 | dropped: that block is not read"""
    values: str = "v"
    """v | k: from the key cache | column: of the block with the number of the table's column"""
    acc_shrinks: bool = True
    sum_shrinks: bool = True
    subtracts: bool = True
    divides: bool | str = True
    """True: at the end | "each": in every iteration too | "block": each block's weights, too | False: never"""
    weighs: bool = True
    """Whether blocks are weighted by their sums. If not, the averages of the blocks are averaged."""
    last_block_only: bool | str = False
    """"of the sequence": that of the sequence, not of the keys that a row sees; a row that sees none of it is nan."""
    guards: bool | str = True
    """Against division by a sum of 0. "length": only if there are no tokens, so that a sum can still underflow to 0."""
    scales_q_in_place: bool = False
    # for paged_prefill
    causal: bool = True
    itself: bool = True
    position: Callable = lambda i, past, start: past + i
    first_row: Callable = lambda ends, sequence: ends[sequence]
    by_line: bool | str = False
    """Whether positions are counted by line. A token has one line for each head of a group. "in tiles": a tile of 16
    lines reads the blocks up to its last token, and no further."""
    new: Callable = lambda ends, sequence: ends[sequence + 1] - ends[sequence]
    writes: Callable | None = None
    """writes(ends, sequence): the first row of a sequence in the output. None: as in q."""
    unwritten: float = 0.0
    no_row: type | None = None
    """The error for a row that q does not have. None: the row is skipped."""
    only_new: bool | str = False
    """Whether only new tokens are seen; "blocks": from the start of the block of the first new token."""
    later: int | None = None
    """A row sees only the tokens after it, from this distance on. None: not replaced."""
    nan_before: bool = False
    """Whether a fully masked first block gives nan."""
    only_last: bool = False
    # for split_kv
    part: Callable = lambda length, num_splits, size: whole_blocks(length, num_splits, size) * size
    begin: Callable = lambda p, part: p * part
    cuts: bool | str = True
    """Whether a part ends with the sequence. "at the end": only there, not where the next part begins."""
    guards_part: bool = True
    lse: Callable = lambda m_i, l_i: m_i + l_i.log()
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
                    if self.by_line == "in tiles":
                        after = length - new + ((i * group + h % group) // 16 * 16 + 15) // group + 1
                        see = min(see, -(-after // size) * size)
                    if self.later is not None:
                        begin, see = at + self.later, length
                    _, l_i, acc = self.walk(
                        q[row, h], h, q.shape[1], k_cache, v_cache, self.table(block_tables, s), begin, self.length(see)
                    )
                    before_last = self.last_block_only == "of the sequence" and (see - 1) // size < (length - 1) // size
                    out[to, h] = (
                        INF - INF
                        if before_last or self.nan_before and begin >= size
                        else self.done(l_i, acc, see <= 0 if self.guards == "length" else self.guards)
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
                    m_i, l_i, acc = self.walk(
                        q[s, h],
                        h,
                        q.shape[1],
                        k_cache,
                        v_cache,
                        self.table(block_tables, s),
                        begin,
                        self.part_end(begin + part, self.length(length)),
                    )
                    partial[s, h, p] = self.done(l_i, acc, self.guards_part)
                    lse[s, h, p] = self.lse(m_i, l_i)
        return self.merge(partial, lse), partial, self.reported(lse)

    def part_end(self, end, length):
        return {True: min(end, length), False: end}.get(self.cuts, length)

    def table(self, block_tables, sequence):
        return self.row(block_tables, sequence).tolist()

    def walk(self, q, head, heads, k_cache, v_cache, table, begin, end):
        """(m_i, l_i, acc) of one query over the positions from begin up to, not including, end."""
        size, kv_heads = k_cache.shape[1:3]
        kv_head = self.kv_head(head, heads // kv_heads, kv_heads)
        flat_k, flat_v = (x.flatten(0, 2) for x in (k_cache, v_cache))
        m_i, l_i, acc, blocks = q.new_tensor(-INF), q.new_tensor(0.0), torch.zeros_like(q), 0
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
            lines = self.line(slots, kv_heads, kv_head, size, len(k_cache))
            scores = flat_k[lines] @ q * (1.0 if self.scales_q_in_place else self.scale(len(q)))
            v = (flat_k if self.values == "k" else flat_v)[lines]
            if self.values == "column":
                own = slots - slots[0] + max(first, begin)
                v = flat_v[self.line(own, kv_heads, kv_head, size, len(k_cache)) % len(flat_v)]
            if self.tail == "zeros":
                scores, v = (torch.cat([x, x.new_zeros(size - len(slots), *x.shape[1:])]) for x in (scores, v))
            if not self.weighs:
                blocks, acc = blocks + 1, acc + scores.softmax(0) @ v
                l_i = q.new_tensor(float(blocks))
                continue
            new_m = torch.maximum(m_i, scores.max()) if self.subtracts else q.new_tensor(0.0)
            weights = torch.exp(scores - new_m)
            alpha = torch.exp(m_i - new_m) if self.subtracts else q.new_tensor(1.0)
            l_i = (alpha if self.sum_shrinks else 1.0) * l_i + weights.sum()
            if self.divides == "block":
                weights = weights / weights.sum()
            acc = (alpha if self.acc_shrinks else 1.0) * acc + weights @ v
            m_i = new_m
            if self.divides == "each":
                acc = acc / l_i
        return m_i, l_i, acc

    def done(self, l_i, acc, guards):
        """The output of one query. guards: whether a sum of 0 is replaced by 1."""
        if self.divides not in (True, "block"):
            return acc
        return acc / (1.0 if guards and l_i == 0 else l_i)
