"""The runner for a GPU: fused kernels, CUDA graphs for decode steps, and a CPU that does not wait for the GPU."""

import gc
import time
from dataclasses import replace

import torch

from course_lib.attention import select
from course_lib.decoding.choosing import ChoiceRows
from course_lib.kvcache import PagedCache
from course_lib.kvcache.batch import Batch
from course_lib.models.fused import FusedTransformer, on_gpu
from course_lib.models.transformer import Transformer

from .drafting import SpeculativeRunner
from .graphs import RING, DecodeGraphs
from .runner import Runner, Tokens

FEW_ROWS = 4  # up to so many sequences the products for few rows are faster than torch's, on an H200


def make_runner(model, cache, config):
    """The Runner that fits the model's device, the cache and the configuration."""
    if config.speculation is not None:
        return SpeculativeRunner(model, cache, config)
    if config.enforce_eager or type(cache) is not PagedCache or not isinstance(model, Transformer):
        return Runner(model, cache, config)
    if (
        select.choose("paged_attention", device=model.device, dtype=model.dtype, head_dim=model.config.head_dim).runs
        != "triton"
    ):
        return Runner(model, cache, config)
    return GPURunner(model, cache, config)


class GPURunner(Runner):
    """As Runner, on a GPU. The first step captures the graphs, which takes some seconds; `capture_seconds` says how
    many.
    """

    def __init__(self, model, cache, config):
        from course_lib.decoding.choosing_kernel import choose  # imports Triton

        super().__init__(FusedTransformer(model, on_gpu(), few=FEW_ROWS), cache, config)
        self.choose_tokens, most = choose, config.max_num_seqs
        self.newest = torch.zeros(most + 1, dtype=torch.int64, device=model.device)
        self.graphs = DecodeGraphs(self.model, cache, self.newest, choose, most, self.rows.tables.shape[1])
        self.copied = [torch.empty(most, dtype=torch.int64, pin_memory=True) for _ in range(RING)]
        self.turn, self.capture_seconds = 0, None

    def capture(self):
        """Captures the decode graphs, once."""
        began = time.perf_counter()
        self.graphs.capture()
        gc.collect()
        gc.freeze()  # what is there now stays; walking through it again and again would stop every step for a moment
        self.capture_seconds = time.perf_counter() - began

    @torch.inference_mode()
    def run(self, step):
        """As Runner.run, without waiting for the GPU."""
        if self.capture_seconds is None:
            self.capture()
        arrays = self.prepare(step)
        if arrays is None:
            return Tokens([], None)
        is_plain = arrays.is_decode and len(arrays.names) == len(arrays.seq_lens)
        if is_plain and len(self.rows.tables) < len(self.newest):
            return self._copy_back(*self.graphs.run(arrays, self.rows.sampling))
        return self.choose(arrays, self.forward(arrays))

    def choose(self, arrays, logits):
        """As Runner.choose."""
        if not arrays.names:
            return Tokens([], None)
        chosen = self.choose_tokens(logits, self.choice_rows(arrays))
        self.newest.index_copy_(0, self._upload(arrays.choice_rows), chosen)
        return self._copy_back(arrays.names, chosen)

    def batch_of(self, arrays):
        """As Runner.batch_of, in int32 and by way of pinned memory: a copy from other memory would wait for the GPU."""
        ids, positions, slots, lens, ends, tables, logits_rows = (
            self._upload(x)
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
            ids = torch.where(ids < 0, self.newest[self._upload(arrays.token_rows)], ids)
        batch = Batch(slots, tables, lens, ends, arrays.is_decode, positions, ids, logits_rows)
        num_new = arrays.cu_seqlens[1:] - arrays.cu_seqlens[:-1]
        num_decodes = int((num_new > 1).argmax())  # the running sequences come first
        if arrays.is_decode or num_decodes == 0:
            return batch
        return replace(batch, num_decodes=num_decodes, cu_seqlens_rest=ends[num_decodes:] - num_decodes)

    def choice_rows(self, arrays):
        """As Runner.choice_rows."""
        columns = (self._upload(kept[arrays.choice_rows]) for kept in self.rows.sampling.values())
        *filters, seed = columns
        return ChoiceRows(*filters, seed + self._upload(arrays.seed_offsets), self._upload(arrays.choice_positions))

    def _upload(self, array):
        return torch.from_numpy(array).pin_memory().to(self.newest.device, non_blocking=True)

    def _copy_back(self, names, chosen):
        """The one copy to the CPU of a step, into pinned memory; the Tokens wait for it."""
        turn, self.turn = self.turn, (self.turn + 1) % RING
        if len(chosen) > len(self.copied[turn]):
            return Tokens(names, chosen)
        copied = self.copied[turn][: len(chosen)]
        copied.copy_(chosen, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return Tokens(names, copied, event)
