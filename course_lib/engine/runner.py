"""Runs the model once for a whole step: tokens in, the next token of each sequence out. Tensors only, no decisions.

    token_ids     | chunk of a's prompt      | b | c | d |      one flat batch; b, c and d bring their newest token
    logits_rows                             ^   ^   ^   ^       a row for each sequence that is computed to its end

On a GPU a decode step is a CUDA graph (graphs.py), and `run` returns before the GPU has ended: the newest tokens
stay there, and the next step finds them. Source: vLLM's GPUModelRunner.
"""

import torch

from course_lib.decoding.choosing import ChoiceRows, choose
from course_lib.kvcache import PagedCache
from course_lib.kvcache.batch import Batch, plan_for_cpu

from .batch import SequenceRows
from .choice_extras import ChoiceExtras


class Runner:
    """The model, the cache that its attention sees, and what was swapped out of it.

    model: a Transformer, or whatever is called like one. cache: a PagedCache, or a learner's own with
    `begin_step(tables, num_new_tokens)` and `attend`; its KVPool is `pool`. config: the EngineConfig.
    """

    def __init__(self, model, cache, config):
        self.model, self.cache, self.pool = model, cache, cache.pool
        self.pools = [self.pool]  # all that hold something of each block
        width = -(-model.config.context // config.block_size)
        if getattr(cache, "window", None) is None:  # with a window a sequence may be longer than the memory
            width = min(width, self.pool.num_blocks)
        self.rows = SequenceRows(config.max_num_seqs, width, config.block_size)
        self.newest = torch.zeros(
            config.max_num_seqs, dtype=torch.int64, device=self.pool.k.device
        )  # token of each row
        device = self.newest.device
        self.extras = ChoiceExtras(choose, lambda array: torch.from_numpy(array).to(device))
        self.saved = {}  # request_id -> what KVPool.save returned, of each pool
        self.makes_own_batch = getattr(type(cache), "begin_step", None) is not PagedCache.begin_step

    @torch.inference_mode()
    def run(self, step):
        """Computes a Step. Returns the Tokens that it chooses; on a GPU they may still be under way."""
        arrays = self.prepare(step)
        return Tokens([], None) if arrays is None else self.compute(arrays)

    def compute(self, arrays):
        """The model once, and a token for each of its choices. Returns the Tokens."""
        return self.choose(arrays, self.forward(arrays))

    def prepare(self, step):
        """Moves the blocks that the step moves, and takes over what it says of its sequences. Returns its
        StepArrays, or None.
        """
        for request_id, block_ids, num_tokens in step.swapped_out:
            self.saved[request_id] = [pool.save(block_ids, num_tokens) for pool in self.pools]
        if step.copies:
            for pool in self.pools:
                pool.copy_blocks(step.copies)
        for request_id, start, slots in step.swapped_in:
            for pool, saved in zip(self.pools, self.saved.pop(request_id)):
                pool.restore(saved, start, slots)
        return self.rows.take(step)

    def forward(self, arrays):
        """The model, once. Returns logits [num_choices, vocab_size]."""
        batch = self.batch_of(arrays)
        if self.makes_own_batch:
            num_new = [int(n) for n in arrays.cu_seqlens[1:] - arrays.cu_seqlens[:-1]]
            self.cache.begin_step(tables_of(arrays, self.cache), num_new)
        else:
            self.cache.begin_batch(batch)
        return self.model(batch.token_ids, batch.positions, self.cache, logits_for=batch.logits_rows)

    def choose(self, arrays, logits):
        """A token for each row of logits, each by the parameters of its sequence. Returns the Tokens."""
        if not arrays.names:
            return Tokens([], None)
        chosen = choose(logits, self.choice_rows(arrays))
        self.newest[torch.from_numpy(arrays.choice_rows).to(chosen.device)] = chosen
        logprobs = self.extras.apply(self, arrays, logits, chosen)
        return Tokens(arrays.names, chosen, logprobs=logprobs)

    def batch_of(self, arrays):
        """The Batch of a step, in tensors on the device of the model."""
        device = self.pool.k.device
        ids, positions, slots, lens, ends, tables, logits_rows = (
            torch.from_numpy(x).to(device, torch.int64)
            for x in (
                arrays.token_ids,
                arrays.positions,
                arrays.slots,
                arrays.seq_lens,
                arrays.cu_seqlens,
                arrays.block_tables,
                arrays.logits_rows,
            )
        )
        if len(self.newest) < len(self.rows.tables):
            self.newest = torch.cat([self.newest, torch.zeros_like(self.newest)])
        if (arrays.token_ids < 0).any():  # chosen by the step before, and never on the CPU
            ids = torch.where(ids < 0, self.newest[torch.from_numpy(arrays.token_rows).to(device)], ids)
        batch = Batch(slots, tables, lens, ends, arrays.is_decode, positions, ids, logits_rows)
        if batch.seq_lens.is_cuda:
            return batch
        num_new = (arrays.cu_seqlens[1:] - arrays.cu_seqlens[:-1]).tolist()
        seen = getattr(self.cache, "window", None), getattr(self.cache, "sinks", 0)
        return plan_for_cpu(batch, arrays.seq_lens.tolist(), num_new, self.rows.block_size, *seen)

    def choice_rows(self, arrays):
        """How each of the wanted tokens is chosen: ChoiceRows."""
        device, at = self.pool.k.device, arrays.choice_rows
        temperature, top_k, top_p, min_p, seed = (kept[at] for kept in self.rows.sampling.values())
        is_filtered = bool(top_k.any() or (top_p < 1).any() or min_p.any())
        seed = (seed + arrays.seed_offsets) & (2**63 - 1)  # int64 wraps, and seeds go on from 0 as in Request
        columns = (temperature, top_k, top_p, min_p, seed, arrays.choice_positions)
        tensors = (torch.from_numpy(column).to(device) for column in columns)
        return ChoiceRows(*tensors, is_greedy=not temperature.any(), is_filtered=is_filtered)

    def forget(self, request_id):
        """Drops what is kept of a request that has ended."""
        self.saved.pop(request_id, None)
        self.rows.forget(request_id)


class Tokens:
    """The tokens that a step chooses. names: sequence ids; token_ids: int64 [len(names)], perhaps still being
    computed. logprobs: the Logprobs of those that ask, or None.
    """

    def __init__(self, names, token_ids, event=None, logprobs=None):
        self.names, self.token_ids, self.event, self.logprobs = names, token_ids, event, logprobs

    def wait(self):
        """{sequence id: [token id]}, once they are there. Waits for a step that chooses none too: the memory that its
        inputs came from is written to again soon.
        """
        if self.event is not None:
            self.event.synchronize()
        if not self.names:
            return {}
        return {name: [token] for name, token in zip(self.names, self.token_ids.tolist())}


class SequenceTable:
    """What a cache of a learner's own is told about one sequence: as much of a BlockTable as `begin_step` reads."""

    def __init__(self, allocator, block_ids, num_tokens, block_size):
        self.allocator, self.block_ids, self.num_tokens, self.block_size = allocator, block_ids, num_tokens, block_size

    def slot(self, position):
        """The slot of the token at `position`."""
        return self.block_ids[position // self.block_size] * self.block_size + position % self.block_size


def tables_of(arrays, cache):
    """A SequenceTable for each sequence of the step."""
    size, made = cache.pool.block_size, []
    for row, num_tokens in zip(arrays.block_tables.tolist(), arrays.seq_lens.tolist()):
        made.append(SequenceTable(getattr(cache, "allocator", None), row[: -(-num_tokens // size)], num_tokens, size))
    return made
