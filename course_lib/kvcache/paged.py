"""Attention over blocks: new tokens are scattered to their slots, and each sequence is read through its table.

    tokens of a step    | sequence 0: 3 new | sequence 1: 1 new |        one flat batch, any number and lengths
    slot_mapping        | 14  15  40        | 3                 |        where the k and v of each are written
    cu_seqlens_q        0                   3                   4        which tokens belong to which sequence
    block_tables        | 3  10             | 0  -1             |        where all k and v of each sequence are read

On a GPU the kernels of lesson 08 read the blocks where they are. On a CPU a gather makes the pieces contiguous
again, for this one layer and moment, and torch does the rest. Source: PagedAttention (arXiv 2309.06180).
"""

import torch

from course_lib import attention  # its names load on first use: Triton with the first step on a GPU, not before
from course_lib.attention.checks import check_mask
from course_lib.attention.paged_checks import check_sinks
from course_lib.attention.reference.twins import decode_gathered, last_tokens, seen_positions
from course_lib.errors import CacheFull, LedgerError, ParameterError

from .allocator import BlockAllocator, whole
from .batch import Batch, plan_for_cpu
from .block_table import BlockTable


class PagedCache:
    """Keys and values in the blocks of a pool. The allocator says which sequence owns which block.

    As one sequence, like ContiguousCache, for whatever expects that: `generate_cached(model, ids,
    cache=PagedCache(pool))`. As many, with tables of any owner over the same allocator:

        slots were given out for them by table.append_slots(n), or by KVCacheManager.allocate_slots(request, n)
        positions = cache.begin_step([table_a, table_b], [5, 1])     # makes the copies that the allocator asks for
        logits = model(token_ids, positions, cache)                  # token_ids: [6]

    pool: a KVPool. allocator: a BlockAllocator, or a learner's own, for this pool; default: a fresh one. window, sinks:
    in every layer a token sees only the last `window` tokens, itself included, and the first `sinks`; a layer of the
    model with a window that is not larger keeps its own.
    """

    def __init__(self, pool, allocator=None, *, window=None, sinks=0):
        allocator = BlockAllocator(pool.num_blocks, pool.block_size) if allocator is None else allocator
        if allocator.num_blocks > pool.num_blocks or allocator.block_size != pool.block_size:
            raise ParameterError(
                f"The allocator gives out {allocator.num_blocks} blocks of {allocator.block_size} tokens, but "
                f"the pool has {pool.num_blocks} of {pool.block_size}. Make both with the same two numbers."
            )
        check_mask(True, window)
        check_sinks(sinks, window)
        self.pool, self.allocator, self.window, self.sinks = pool, allocator, window, sinks
        self.batch = None  # the Batch that is being computed
        self.num_tokens = 0  # of the one sequence of its own
        self.table = BlockTable(allocator, name="sequence")
        self._is_own = False  # whether `batch` is of that sequence

    def begin_step(self, tables, num_new_tokens):
        """Says whose tokens come next: the last `num_new_tokens[i]` of `tables[i]`, in that order.

        tables: BlockTables that hold slots for the new tokens already. Returns the positions of the new tokens, int64
        [sum(num_new_tokens)]. Copies the blocks of `allocator.copies` and clears that list. Raises ParameterError for
        counts that do not fit the tables, LedgerError where two tokens would be written to one slot; then nothing is
        done.
        """
        tables, new = list(tables), list(num_new_tokens)
        if not tables or len(tables) != len(new):
            raise ParameterError(
                f"{len(tables)} tables and {len(new)} counts came; a step needs at least one table, and one "
                f"count of new tokens for each."
            )
        for table, n in zip(tables, new):
            whole("num_new_tokens", n, at_least=1)
            if n > table.num_tokens:
                raise ParameterError(
                    f"{n} new tokens are announced for {table!r}. Call append_slots({n}) on a table before its "
                    f"step: it counts them then."
                )
            if getattr(table, "allocator", self.allocator) is not self.allocator:
                raise ParameterError(
                    f"{table!r} is of another allocator, so its blocks are not those of this pool. Make the "
                    f"cache with it: PagedCache(pool, table.allocator)."
                )
            outside = [b for b in table.block_ids if type(b) is not int or not 0 <= b < self.pool.num_blocks]
            if outside:
                raise LedgerError(
                    f"{table!r} names block {outside[0]!r}, but the pool has 0 to {self.pool.num_blocks - 1}. "
                    f"The allocator gave out a block that does not exist."
                )
        new_tokens = [
            (table, p) for table, n in zip(tables, new) for p in range(table.num_tokens - n, table.num_tokens)
        ]
        slots = [table.slot(p) for table, p in new_tokens]
        if len(set(slots)) < len(slots):
            twice = next(slot for i, slot in enumerate(slots) if slot in slots[:i])
            raise LedgerError(
                f"Slot {twice} (block {twice // self.pool.block_size}) would be written by two tokens of this step: "
                f"a table came twice, or the allocator gave one block to two tables."
            )
        self.pool.copy_blocks(self.allocator.copies)
        self.allocator.copies.clear()
        self.batch = self._make_batch(tables, new, [p for _, p in new_tokens], slots)
        self._is_own = False
        return self.batch.positions

    def _make_batch(self, tables, new, positions, slots):
        device, width, ends = self.pool.k.device, max(len(table.block_ids) for table in tables), [0]
        for n in new:
            ends.append(ends[-1] + n)
        seq_lens = [table.num_tokens for table in tables]
        rows = [list(table.block_ids) + [-1] * (width - len(table.block_ids)) for table in tables]
        slots, rows, lens, ends, positions = (
            torch.tensor(x, device=device) for x in (slots, rows, seq_lens, ends, positions)
        )
        batch = Batch(slots, rows, lens, ends, is_decode=max(new) == 1, positions=positions)
        if batch.seq_lens.is_cuda:
            return batch
        return plan_for_cpu(batch, seq_lens, new, self.pool.block_size, self.window, self.sinks)

    def begin_batch(self, batch):
        """As begin_step, with a Batch that is made already; an engine keeps the buffers of its own."""
        self.batch, self._is_own = batch, False

    def attend(self, layer, q, k, v, window=None):
        """Writes k and v to their slots, then lets each new token look at its own sequence up to itself.

        q: [num_new, num_heads, head_dim]; k, v: [num_new, num_kv_heads, head_dim], in the order of `begin_step`;
        without it the next tokens of the cache's own sequence. window: a token sees itself and the window - 1 before
        it; None: all before it. Blocks that no window reaches any more are kept all the same. Returns [num_new,
        num_heads, head_dim]. Raises CacheFull, with nothing written, where no blocks are left for these, and
        ParameterError where they are of another model or number.
        """
        if layer == 0:
            self._check_fit(k)
            if self.batch is None or self._is_own:
                self._begin_own_step(len(k))
            if len(self.batch.slot_mapping) != len(k):
                raise ParameterError(
                    f"{len(k)} tokens came, but begin_step announced {len(self.batch.slot_mapping)}. Call "
                    f"begin_step(tables, num_new_tokens) before each run of the model."
                )
        attend = self._attend_on_gpu if q.is_cuda else self._attend_on_cpu
        out = attend(layer, q, k, v) if window is None else attend(layer, q, k, v, window)
        if layer == len(self.pool.k) - 1:
            self.num_tokens = self.table.num_tokens if self._is_own else self.num_tokens
            self.batch, self._is_own = None, False
        return out

    def seen(self, window):
        """(window, sinks) of a layer whose own window is `window`: the narrower of the two windows."""
        if self.window is None or (window is not None and window <= self.window):
            return window, 0
        return self.window, self.sinks

    def _attend_on_gpu(self, layer, q, k, v, window=None):
        self.store(layer, k, v)
        return self.attend_stored(layer, q, window)

    def store(self, layer, k, v):
        """Writes k and v of the new tokens to their slots, on a GPU."""
        k_cache, v_cache, scales = self.pool.layer(layer)
        attention.store_kv(self.pool.divided(layer, k), v, k_cache, v_cache, self.batch.slot_mapping, **scales)

    def attend_stored(self, layer, q, window=None):
        """Attention on a GPU where the keys and values of the new tokens are in their slots already. Returns as q."""
        batch, (k_cache, v_cache, how), q = self.batch, self.pool.layer(layer), self.pool.multiplied(layer, q)
        tables, lens, n = batch.block_tables, batch.seq_lens, batch.num_decodes
        window, sinks = self.seen(window)
        how = {**how, "window": window, "sinks": sinks}
        if batch.is_decode:
            return attention.paged_decode(q, k_cache, v_cache, tables, lens, **how)
        if n == 0:
            return attention.paged_attention(q, k_cache, v_cache, tables, lens, batch.cu_seqlens_q, **how)
        decoded = attention.paged_decode(q[:n], k_cache, v_cache, tables[:n], lens[:n], **how)
        ends = batch.cu_seqlens_rest
        rest = attention.paged_attention(q[n:], k_cache, v_cache, tables[n:], lens[n:], ends, **how)
        return torch.cat([decoded, rest])

    def _attend_on_cpu(self, layer, q, k, v, window=None):
        batch, out, size, (window, sinks) = self.batch, torch.empty_like(q), self.pool.block_size, self.seen(window)
        self.pool.write(layer, batch.slot_mapping, k, v)
        for rows, blocks, seq_len in batch.singles:
            seen = None
            if window is not None:  # what none of the new tokens sees is not gathered: its blocks may be another's
                seen = seen_positions(seq_len, len(q[rows]), window, sinks)
                k, v = self.pool.take(layer, blocks[seen // size] * size + seen % size)
            else:
                k, v = self.pool.gather(layer, blocks, seq_len)
            out[rows] = last_tokens(q[rows], k, v, window=window, sinks=sinks, positions=seen)
        for rows, slots, seq_lens in batch.grouped_decodes:
            seen = None
            if window is not None:  # the shortest comes first
                seen = seen_positions(slots.shape[1], slots.shape[1] - int(seq_lens[0]) + 1, window, sinks)
                slots = slots[:, seen]
            k, v = self.pool.take(layer, slots)
            out[rows] = decode_gathered(q[rows], k, v, seq_lens, window=window, sinks=sinks, positions=seen)
        return out

    def _begin_own_step(self, n):
        self.table.shrink(self.num_tokens)  # a step that broke off left its slots behind
        if self.table.append_slots(n) is None:
            self.batch, self._is_own = None, False
            raise CacheFull(
                f"This cache holds {self.num_tokens} tokens and was asked to take {n} more, but of the pool's "
                f"{self.allocator.num_blocks} blocks of {self.pool.block_size} only {self.allocator.num_free} are "
                f"free. Make the pool with more blocks, write fewer tokens, or reset() what is done with."
            )
        self.begin_step([self.table], [n])
        self._is_own = True

    def reset(self):
        """Forgets the cache's own sequence and gives its blocks back. Other tables are not touched."""
        self.table.shrink(0)
        self.num_tokens, self.batch, self._is_own = 0, None, False

    def _check_fit(self, k):
        pool, device = self.pool, self.pool.k.device
        if k.shape[1:] != pool.head_shape or k.dtype != pool.dtype or k.device != device:
            raise ParameterError(
                f"Keys of {list(k.shape[1:])} numbers a token in {k.dtype} on {k.device} came to a pool for "
                f"{list(pool.head_shape)} in {pool.dtype} on {device}. Make it for this model: KVPool("
                f"model.config, num_blocks, block_size, model.device, model.dtype)."
            )

    def __repr__(self):
        return f"PagedCache({self.pool!r}, {self.allocator.num_free} blocks free)"
