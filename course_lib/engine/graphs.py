"""Decode steps as CUDA graphs: all kernels of a step recorded once for each batch size, and replayed with one launch.

    sizes       1 2 4 8 16 24 32 ... max_num_seqs
    a step      | sequence 0 | sequence 1 | sequence 2 | padding |         the next size that is large enough
    padding     slot -1: writes nothing       length 0: reads nothing

A graph reads and writes the same memory each time, so all inputs of a step lie in one buffer on the GPU, which is
filled from pinned memory by one copy. The newest token of each sequence stays on the GPU, where the next step finds it.
Source: CUDA graphs in vLLM (CUDAGraphWrapper) and nano-vllm.
"""

import numpy as np
import torch

from course_lib.decoding.choosing import ChoiceRows
from course_lib.kvcache.batch import Batch

INTS = ("token_ids", "rows", "positions", "seq_lens", "slots", "top_k", "seed", "choice_positions")
FLOATS = ("temperature", "top_p", "min_p")
RING = 3  # pinned buffers: a step may be prepared while the copies of the two before are still under way


def batch_sizes(most):
    """The batch sizes that are captured, ascending; the last is `most`."""
    sizes = [1, 2, 4, *range(8, min(most, 256), 8), *range(256, most, 32)]
    return [size for size in sizes if size < most] + [most]


class DecodeGraphs:
    """Captured decode steps. forward: a FusedTransformer. cache: its PagedCache. newest: int64, the token of each
    row; the last
    row is nobody's. choose: decoding.choosing_kernel.choose. most: sequences at a time. width: blocks of the longest
    sequence.
    """

    def __init__(self, forward, cache, newest, choose, most, width):
        self.forward, self.cache, self.newest, self.choose = forward, cache, newest, choose
        self.sizes, self.graphs, self.pool = batch_sizes(most), {}, None
        device = newest.device
        self.ints = torch.zeros((len(INTS), most), dtype=torch.int64, device=device)
        self.floats = torch.zeros((len(FLOATS), most), dtype=torch.float32, device=device)
        self.tables = torch.zeros((most, width), dtype=torch.int32, device=device)
        self.chosen = torch.zeros(most, dtype=torch.int64, device=device)
        buffers = self.ints, self.floats, self.tables
        self.pinned = [[torch.zeros(b.shape, dtype=b.dtype, pin_memory=True) for b in buffers] for _ in range(RING)]
        self.turn = 0

    @torch.inference_mode()
    def capture(self):
        """Records all sizes, the largest first, so that the smaller ones find their memory in its pool."""
        self.ints.copy_(self._padding(len(self.chosen)))
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

    def _padding(self, count):
        """What stands in `ints` for no sequence: the row that is nobody's, slot -1, length 0."""
        column = [0, len(self.newest) - 1, 0, 0, -1, 0, 0, 0]
        return torch.tensor(column)[:, None].expand(-1, count)

    def _step(self, size):
        """The whole step on the first `size` places of the buffers: embedding to chosen token."""
        ids, rows, positions, seq_lens, slots, top_k, seed, choice_positions = self.ints[:, :size]
        temperature, top_p, min_p = self.floats[:, :size]
        ids = torch.where(ids < 0, self.newest[rows], ids)
        self.cache.begin_batch(Batch(slots, self.tables[:size], seq_lens, None, True, positions))
        logits = self.forward(ids, positions, self.cache)
        choice = ChoiceRows(temperature, top_k, top_p, min_p, seed, choice_positions)
        self.choose(logits, choice, out=self.chosen[:size])
        self.newest.index_copy_(0, rows, self.chosen[:size])

    def run(self, arrays, sampling):
        """Replays a decode step. arrays: its StepArrays. sampling: the runner's columns by row.

        Returns (names, int64 tensor): the tokens in another order than that of the step. The longest sequences come
        first, so that no program of the attention kernel begins with a long one when the others are nearly done.
        """
        count, (turn, self.turn) = len(arrays.names), (self.turn, (self.turn + 1) % RING)
        size = next(size for size in self.sizes if size >= count)
        ints, floats, tables = self.pinned[turn]
        order = np.argsort(-arrays.seq_lens, kind="stable")
        rows = arrays.choice_rows[order]
        ints[:, count:size] = self._padding(size - count)
        filled = ints.numpy()[:, :count]
        for place, column in enumerate(
            (arrays.token_ids, arrays.choice_rows, arrays.positions, arrays.seq_lens, arrays.slots)
        ):
            filled[place] = column[order]
        filled[5], filled[6], filled[7] = (
            sampling["top_k"][rows],
            sampling["seed"][rows],
            arrays.choice_positions[order],
        )
        for place, name in enumerate(FLOATS):
            floats.numpy()[place, :count] = sampling[name][rows]
        width = arrays.block_tables.shape[1]
        flat = tables.view(-1)[: count * width].view(count, width)
        np.take(arrays.block_tables, order, axis=0, out=flat.numpy())
        self.ints[:, :size].copy_(ints[:, :size], non_blocking=True)
        self.floats[:, :size].copy_(floats[:, :size], non_blocking=True)
        self.tables[:count, :width].copy_(flat, non_blocking=True)
        self.graphs[size].replay()
        return [arrays.names[i] for i in order], self.chosen[:count]
