"""The runner for a GPU: fused kernels, CUDA graphs for steps, and a CPU that does not wait for the GPU."""

import gc
import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from course_lib.attention import select
from course_lib.attention.tiles import SHARED_MEMORY, chip, nearest
from course_lib.decoding.choosing import ChoiceRows
from course_lib.kvcache import PagedCache
from course_lib.kvcache.batch import Batch
from course_lib.models.fused import FusedTransformer, on_gpu
from course_lib.models.transformer import Transformer

from .batch import StepArrays
from .choice_extras import ChoiceExtras, only
from .drafting import SpeculativeRunner
from .graphs import RING, DecodeGraphs
from .prompt_graphs import PromptGraphs
from .runner import Runner, Tokens
from .speculative_gpu import SpeculativeGPURunner

FEW_ROWS = {2**23: 4, 2**25: 2}
"""{numbers of the largest weight of a layer: up to so many sequences few_rows is faster than torch's products}, on an
H200; for larger weights it is for one sequence. With 2 ** 25, 4 rows take 26.6 µs and torch's product 19.3."""
SOME_ROWS = 16  # and up to so many some_rows for small weights, in bfloat16 and float16
SOME_ROWS_SHARED_MEMORY = 132_000  # bytes that a program of it takes


def make_runner(model, cache, config):
    """The Runner that fits the model's device, the cache and the configuration."""
    has_graphs = not config.enforce_eager and type(cache) is PagedCache and runs_fused(model)
    if config.speculation is None:
        return (GPURunner if has_graphs else Runner)(model, cache, config)
    if has_graphs and runs_fused(getattr(config.speculation, "model", model)):
        return SpeculativeGPURunner(model, cache, config, fuse)
    return SpeculativeRunner(model, cache, config)


def runs_fused(model):
    """Whether this model can run as a FusedTransformer on its device."""
    if not isinstance(model, Transformer):
        return False
    how = dict(device=model.device, dtype=model.dtype, head_dim=model.config.head_dim)
    return select.choose("paged_attention", **how).runs == "triton"


def fuse(model):
    """The FusedTransformer of a model on a GPU."""
    has_room = SHARED_MEMORY[nearest(chip(model.device))] >= SOME_ROWS_SHARED_MEMORY
    some = SOME_ROWS if model.dtype in select.HALF_DTYPES and has_room else 0
    few, group = most_few_rows(model.config), getattr(model, "group", None)
    if group is not None:  # parts can differ by one number, and all ranks must take the same way
        few = group.least(few)
    return FusedTransformer(model, on_gpu(), few=few, some=some)


def most_few_rows(config):
    """For how many sequences few_rows is taken."""
    largest = 2 * config.intermediate_size * config.hidden_size
    return next((rows for numbers, rows in FEW_ROWS.items() if largest <= numbers), 1)


def upload(array, device):
    """A NumPy array on a GPU, copied from pinned memory while the CPU goes on."""
    return torch.from_numpy(array).pin_memory().to(device, non_blocking=True)


class GPURunner(Runner):
    """As Runner, on a GPU. It captures the graphs and compiles every kernel when it is made, so that no request waits
    for that; `capture_seconds` says how long it took.
    """

    def __init__(self, model, cache, config):
        from course_lib.decoding.choosing_kernel import choose  # imports Triton

        super().__init__(fuse(model), cache, config)
        self.choose_tokens, most = choose, config.max_num_seqs
        self.upload = partial(upload, device=model.device)
        self.extras = ChoiceExtras(choose, self.upload)
        self.newest = torch.zeros(most + 1, dtype=torch.int64, device=model.device)
        self.graphs = DecodeGraphs(self.model, cache, self.newest, choose, most, self.rows.tables.shape[1])
        self.copied = [torch.empty(most, dtype=torch.int64, pin_memory=True) for _ in range(RING)]
        self.turn, began = 0, time.perf_counter()
        gc.collect()
        gc.freeze()  # torch.cuda.graph collects garbage before each graph, and would walk through what stays each time
        self.warm_up(config.max_num_batched_tokens)
        self.graphs.capture()
        width, pool = self.rows.tables.shape[1], self.graphs.pool
        self.prompt_graphs = PromptGraphs(self.model, cache, self.newest, choose, width, config, pool)
        self.prompt_graphs.capture()
        gc.collect()
        gc.freeze()  # what is there now stays; walking through it again and again would stop every step for a moment
        self.capture_seconds = time.perf_counter() - began

    @torch.inference_mode()
    def warm_up(self, most_tokens):
        """Runs steps without a graph, of padding alone, so that every kernel is compiled and every library loaded.

        Prompts of 1, 2, 4, ... tokens in all take every tile of the attention kernel; beside them one sequence
        decodes, with tables of one block and of as many as fit, so in one part and in several.
        """
        width, longest = self.rows.tables.shape[1], min(512, self.model.config.context)
        counts = [1 << i for i in range(most_tokens.bit_length())] + [3, most_tokens]
        for total in sorted(set(counts)):
            lens = [longest] * (total // longest) + [total % longest] * (total % longest > 0)
            self._run_padding(lens, 1)
            if total <= self.model.few:
                self._run_padding([1] * total, 1)
        for blocks in (1, width):
            self._run_padding([1, min(2, longest)], blocks)
        torch.cuda.synchronize()

    def _run_padding(self, counts, blocks):
        """A step without a graph: sequences of so many tokens, none of which is written; each reads block 0."""
        counts = np.array(counts)
        ends, total = counts.cumsum(), int(counts.sum())
        last = ends[: len(self.copied[0])] - 1  # a token is chosen after at most `max_num_seqs`
        zeros, width = np.zeros(total, np.int32), -(-int(counts.max()) // self.rows.block_size)
        of_choices = np.zeros(len(last), np.int64)
        arrays = StepArrays(
            token_ids=zeros, token_rows=zeros, positions=zeros, slots=zeros - 1, seq_lens=counts.astype(np.int32),
            cu_seqlens=np.array([0, *ends], np.int32), is_decode=bool(counts.max() == 1),
            block_tables=np.zeros((len(counts), max(blocks, width)), np.int32), logits_rows=last.astype(np.int32),
            choice_rows=of_choices, choice_positions=of_choices, seed_offsets=of_choices, names=[""] * len(last),
        )  # fmt: skip
        self.choose(arrays, self.forward(arrays))

    def compute(self, arrays):
        """As Runner.compute, without waiting for the GPU: as a graph, where one has places enough."""
        if len(self.rows.tables) >= len(self.newest):  # more sequences than there are rows in `newest`
            return self.choose(arrays, self.forward(arrays))
        if arrays.is_plain_decode:
            names, chosen = self.graphs.run(arrays, self.rows.sampling)
            if not self.rows.asking:
                return self._copy_back(names, chosen)
            order, logits = self.graphs.logits_of_last_run()
            return self._copy_back(names, chosen, self.extras.apply(self, only(arrays, order), logits, chosen))
        size = None if self.rows.asking else self.prompt_graphs.size_of(arrays)
        if size is None:
            return self.choose(arrays, self.forward(arrays))
        return self._copy_back(*self.prompt_graphs.run(size, arrays, self.rows.sampling))

    def choose(self, arrays, logits):
        """As Runner.choose."""
        if not arrays.names:
            return self._copy_back([], self.newest[:0])
        chosen = self.choose_tokens(logits, self.choice_rows(arrays))
        self.newest.index_copy_(0, self.upload(arrays.choice_rows), chosen)
        return self._copy_back(arrays.names, chosen, self.extras.apply(self, arrays, logits, chosen))

    def batch_of(self, arrays):
        """As Runner.batch_of, in int32 and by way of pinned memory: a copy from other memory would wait for the GPU."""
        ids, positions, slots, lens, ends, tables, logits_rows = (
            self.upload(x)
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
        if (arrays.token_ids < 0).any():
            ids = torch.where(ids < 0, self.newest[self.upload(arrays.token_rows)], ids)
        batch = Batch(slots, tables, lens, ends, arrays.is_decode, positions, ids, logits_rows)
        num_new = arrays.cu_seqlens[1:] - arrays.cu_seqlens[:-1]
        num_decodes = int((num_new > 1).argmax())  # the running sequences come first
        if arrays.is_decode or num_decodes == 0:
            return batch
        return replace(batch, num_decodes=num_decodes, cu_seqlens_rest=ends[num_decodes:] - num_decodes)

    def choice_rows(self, arrays):
        """As Runner.choice_rows."""
        columns = (self.upload(kept[arrays.choice_rows]) for kept in self.rows.sampling.values())
        *filters, seed = columns
        return ChoiceRows(
            *filters, (seed + self.upload(arrays.seed_offsets)) & (2**63 - 1), self.upload(arrays.choice_positions)
        )

    def _copy_back(self, names, chosen, logprobs=None):
        """The one copy to the CPU of a step, into pinned memory; the Tokens wait for it."""
        turn, self.turn = self.turn, (self.turn + 1) % RING
        if len(chosen) > len(self.copied[turn]):
            return Tokens(names, chosen, logprobs=logprobs)
        copied = self.copied[turn][: len(chosen)]
        copied.copy_(chosen, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return Tokens(names, copied, event, logprobs)
