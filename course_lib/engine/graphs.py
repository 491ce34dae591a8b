"""Decode steps as CUDA graphs: all kernels of a step recorded once for each batch size, and replayed with one launch.

    sizes       1 2 4 8 16 24 32 ... max_num_seqs
    a step      | sequence 0 | sequence 1 | sequence 2 | padding |         the next size that is large enough
    padding     slot -1: writes nothing       length 0: reads nothing

A graph reads and writes the same memory each time, so all inputs of a step lie in one buffer on the GPU, which is filled from
pinned memory by one copy. The newest token of each sequence stays on the GPU, where the next step finds it.
Source: CUDA graphs in vLLM (CUDAGraphWrapper) and nano-vllm.
"""

import numpy as np
import torch

from course_lib.decoding.choosing import ChoiceRows
from course_lib.kvcache.batch import Batch

COLUMNS = (
    "token_ids",
    "rows",
    "positions",
    "seq_lens",
    "slots",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "seed",
    "position",
)
RING = 3  # pinned buffers: a step may be prepared while the copies of the two before are still under way


def batch_sizes(most):
    """The batch sizes that are captured, ascending; the last is `most`."""
    sizes = [1, 2, 4, *range(8, min(most, 256), 8), *range(256, most, 32)]
    return [size for size in sizes if size < most] + [most]


class DecodeGraphs:
    """Captured decode steps. forward: a FusedTransformer. cache: its PagedCache. newest: int64, the token of each row; the last
    row is nobody's. choose: decoding.choose_kernel.choose. most: sequences at a time. width: blocks of the longest sequence.
    """

    def __init__(self, forward, cache, newest, choose, most, width):
        self.forward, self.cache, self.newest, self.choose = forward, cache, newest, choose
        self.sizes, self.graphs, self.pool = batch_sizes(most), {}, None
        device = newest.device
        self.columns = torch.zeros((len(COLUMNS), most), dtype=torch.int64, device=device)
        self.tables = torch.zeros((most, width), dtype=torch.int32, device=device)
        self.chosen = torch.zeros(most, dtype=torch.int64, device=device)
        self.pinned = [torch.zeros(self.columns.shape, dtype=torch.int64, pin_memory=True) for _ in range(RING)]
        self.pinned_tables = [torch.zeros(self.tables.shape, dtype=torch.int32, pin_memory=True) for _ in range(RING)]
        self.turn = 0

    @torch.inference_mode()
    def capture(self):
        """Records all sizes, the largest first, so that the smaller ones find their memory in its pool."""
        self._fill_with_padding()
        for size in reversed(self.sizes):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._step(size)  # compiles its kernels
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                self._step(size)
            self.pool = graph.pool()
            self.graphs[size] = graph
        torch.cuda.synchronize()

    def _fill_with_padding(self):
        nobody = len(self.newest) - 1
        self.columns.copy_(torch.tensor([0, nobody, 0, 0, -1, 0, 0, 0, 0, 0, 0], device=self.columns.device)[:, None])

    def _step(self, size):
        """The whole step on the first `size` places of the buffers: embedding to chosen token."""
        ids, rows, positions, seq_lens, slots, temperature, top_k, top_p, min_p, seed, position = self.columns[:, :size]
        ids = torch.where(ids < 0, self.newest[rows], ids)
        self.cache.begin_batch(Batch(slots, self.tables[:size], seq_lens, None, True, positions))
        logits = self.forward(ids, positions, self.cache)
        floats = (column.to(torch.int32).view(torch.float32) for column in (temperature, top_p, min_p))
        temperature, top_p, min_p = floats
        choice = ChoiceRows(temperature, top_k.to(torch.int32), top_p, min_p, seed, position)
        self.choose(logits, choice, out=self.chosen[:size])
        self.newest.index_copy_(0, rows, self.chosen[:size])

    def run(self, arrays, sampling):
        """Replays a decode step. arrays: its StepArrays. sampling: the runner's columns by row. The tokens are in `chosen`."""
        count, (turn, self.turn) = len(arrays.names), (self.turn, (self.turn + 1) % RING)
        size = next(size for size in self.sizes if size >= count)
        columns, tables = self.pinned[turn], self.pinned_tables[turn]
        filled = columns.numpy()
        at = arrays.choice_rows
        filled[:, count:size] = np.array([0, len(self.newest) - 1, 0, 0, -1, 0, 0, 0, 0, 0, 0])[:, None]
        for place, column in enumerate((arrays.token_ids, at, arrays.positions, arrays.seq_lens, arrays.slots)):
            filled[place, :count] = column
        filled[5, :count] = sampling["temperature"][at].view(np.int32)
        filled[6, :count] = sampling["top_k"][at]
        filled[7, :count] = sampling["top_p"][at].view(np.int32)
        filled[8, :count] = sampling["min_p"][at].view(np.int32)
        filled[9, :count] = sampling["seed"][at]
        filled[10, :count] = arrays.choice_positions
        width = arrays.block_tables.shape[1]
        flat = tables.view(-1)[: count * width].view(count, width)
        flat.numpy()[:] = arrays.block_tables
        self.columns[:, :size].copy_(columns[:, :size], non_blocking=True)
        self.tables[:count, :width].copy_(flat, non_blocking=True)
        self.graphs[size].replay()
        return self.chosen[:count]
