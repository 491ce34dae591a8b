"""Attention over blocks: new tokens are scattered to their slots, and each sequence is gathered through its table.

    tokens of a step    | sequence 0: 3 new | sequence 1: 1 new |        one flat batch, any number and lengths
    slot_mapping        | 14  15  40        | 3                 |        where the k and v of each are written
    block_tables        | [3, 10]           | [0]               |        where all k and v of each sequence are read

The gather makes the pieces contiguous again, for this one layer and moment; the kernels of lesson 08 read the blocks where
they are. Source: PagedAttention (arXiv 2309.06180).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..errors import CacheFull, LedgerError, ParameterError
from .allocator import BlockAllocator, whole
from .block_table import BlockTable


@dataclass(frozen=True)
class PagedStep:
    """What attention needs to know in one step."""

    slot_mapping: torch.Tensor
    """int64 [num_tokens]: the slot of each new token."""
    block_tables: list
    """int64 [number of its blocks], one for each sequence."""
    seq_lens: list
    """Tokens of each sequence, the new ones included."""
    num_new_tokens: list
    """How many of them are new; they are the last ones."""


class PagedCache:
    """Keys and values in the blocks of a pool; who owns which is the allocator's affair.

    As one sequence, like ContiguousCache, for whatever expects that: `generate_cached(model, ids, cache=PagedCache(pool))`.
    As many, with tables of any owner over the same allocator:

        slots were given out for them by table.append_slots(n), or by KVCacheManager.allocate_slots(request, n)
        positions = cache.begin_step([table_a, table_b], [5, 1])     # makes the copies that the allocator asks for
        logits = model(token_ids, positions, cache)                  # token_ids: [6]

    pool: a KVPool. allocator: a BlockAllocator, or a learner's own, for this pool; default: a fresh one.
    """

    def __init__(self, pool, allocator=None):
        allocator = BlockAllocator(pool.num_blocks, pool.block_size) if allocator is None else allocator
        if allocator.num_blocks > pool.num_blocks or allocator.block_size != pool.block_size:
            raise ParameterError(f"The allocator gives out {allocator.num_blocks} blocks of {allocator.block_size} tokens, but "
                                 f"the pool has {pool.num_blocks} of {pool.block_size}. Make both with the same two numbers.")
        self.pool, self.allocator = pool, allocator
        self.step = None       # the PagedStep that is being computed
        self.num_tokens = 0    # of the one sequence of its own
        self.table = BlockTable(allocator, name="sequence")
        self._is_own = False   # whether `step` is of that sequence

    def begin_step(self, tables, num_new_tokens):
        """Says whose tokens come next: the last `num_new_tokens[i]` of `tables[i]`, in that order.

        tables: BlockTables that hold slots for the new tokens already. Returns the positions of the new tokens, int64
        [sum(num_new_tokens)]. Copies the blocks of `allocator.copies` and clears that list. Raises ParameterError for
        counts that do not fit the tables, LedgerError where two tokens would be written to one slot; then nothing is done.
        """
        tables, new = list(tables), list(num_new_tokens)
        if not tables or len(tables) != len(new):
            raise ParameterError(f"{len(tables)} tables and {len(new)} counts came; a step needs at least one table, and one "
                                 f"count of new tokens for each.")
        for table, n in zip(tables, new):
            whole("num_new_tokens", n, at_least=1)
            if n > table.num_tokens:
                raise ParameterError(f"{n} new tokens are announced for {table!r}. Call append_slots({n}) on a table before its "
                                     f"step: it counts them then.")
            if getattr(table, "allocator", self.allocator) is not self.allocator:
                raise ParameterError(f"{table!r} is of another allocator, so its blocks are not those of this pool. Make the "
                                     f"cache with it: PagedCache(pool, table.allocator).")
            outside = [b for b in table.block_ids if type(b) is not int or not 0 <= b < self.pool.num_blocks]
            if outside:
                raise LedgerError(f"{table!r} names block {outside[0]!r}, but the pool has 0 to {self.pool.num_blocks - 1}. "
                                  f"The allocator gave out a block that does not exist.")
        new_tokens = [(table, p) for table, n in zip(tables, new) for p in range(table.num_tokens - n, table.num_tokens)]
        slots = [table.slot(p) for table, p in new_tokens]
        if len(set(slots)) < len(slots):
            twice = next(slot for i, slot in enumerate(slots) if slot in slots[:i])
            raise LedgerError(f"Slot {twice} (block {twice // self.pool.block_size}) would be written by two tokens of this step: "
                              f"a table came twice, or the allocator gave one block to two tables.")
        self.pool.copy_blocks(self.allocator.copies)
        self.allocator.copies.clear()
        device = self.pool.k.device
        self.step = PagedStep(torch.tensor(slots, device=device), [torch.tensor(t.block_ids, device=device) for t in tables],
                              [t.num_tokens for t in tables], new)
        self._is_own = False
        return torch.tensor([p for _, p in new_tokens], device=device)

    def attend(self, layer, q, k, v):
        """Writes k and v to their slots, then lets each new token look at its own sequence up to itself.

        q: [num_new, num_heads, head_dim]; k, v: [num_new, num_kv_heads, head_dim], in the order of `begin_step`; without it
        the next tokens of the cache's own sequence. Returns [num_new, num_heads, head_dim]. Raises CacheFull, with nothing
        written, where no blocks are left for these, and ParameterError where they are of another model or number.
        """
        if layer == 0:
            self._check_fit(k)
            if self.step is None or self._is_own:
                self._begin_own_step(len(k))
            if len(self.step.slot_mapping) != len(k):
                raise ParameterError(f"{len(k)} tokens came, but begin_step announced {len(self.step.slot_mapping)}. Call "
                                     f"begin_step(tables, num_new_tokens) before each run of the model.")
        step = self.step
        self.pool.write(layer, step.slot_mapping, k, v)
        out, start = torch.empty_like(q), 0
        for block_table, seq_len, n in zip(step.block_tables, step.seq_lens, step.num_new_tokens):
            rows = slice(start, start + n)
            out[rows] = attention(q[rows], *self.pool.gather(layer, block_table, seq_len))
            start += n
        if layer == len(self.pool.k) - 1:
            self.num_tokens = self.table.num_tokens if self._is_own else self.num_tokens
            self.step, self._is_own = None, False
        return out

    def _begin_own_step(self, n):
        self.table.shrink(self.num_tokens)  # a step that broke off left its slots behind
        if self.table.append_slots(n) is None:
            self.step, self._is_own = None, False
            raise CacheFull(f"This cache holds {self.num_tokens} tokens and was asked to take {n} more, but of the pool's "
                            f"{self.allocator.num_blocks} blocks of {self.pool.block_size} tokens only {self.allocator.num_free} are "
                            f"free. Make the pool with more blocks, write fewer tokens, or reset() what is done with.")
        self.begin_step([self.table], [n])
        self._is_own = True

    def reset(self):
        """Forgets the cache's own sequence and gives its blocks back. Other tables are not touched."""
        self.table.shrink(0)
        self.num_tokens, self.step, self._is_own = 0, None, False

    def _check_fit(self, k):
        kept = self.pool.k
        if k.shape[1:] != kept.shape[3:] or k.dtype != kept.dtype or k.device != kept.device:
            raise ParameterError(f"Keys of {list(k.shape[1:])} numbers a token in {k.dtype} on {k.device} came to a pool for "
                                 f"{list(kept.shape[3:])} in {kept.dtype} on {kept.device}. Make it for this model: KVPool("
                                 f"model.config, num_blocks, block_size, model.device, model.dtype).")

    def __repr__(self):
        return f"PagedCache({self.pool!r}, {self.allocator.num_free} blocks free)"


def attention(q, k, v):
    """Causal attention of the last tokens of one sequence over all of it.

    q: [num_new, num_heads, head_dim]; k, v: [num_tokens, num_kv_heads, head_dim]. Returns as q.
    """
    n, total = len(q), len(k)
    # Row i stands at position total - n + i. Without a mask for a single row: it sees everything.
    mask = None if n in (1, total) else torch.ones(n, total, dtype=torch.bool, device=q.device).tril(total - n)
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=n == total > 1, enable_gqa=q.shape[1] != k.shape[1])
    return out[0].transpose(0, 1)
