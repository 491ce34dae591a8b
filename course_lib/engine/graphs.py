"""Decode steps as CUDA graphs: all kernels of a step recorded once for each batch size, and replayed with one launch.

    sizes       1 2 4 8 16 24 32 ... max_num_seqs
    a step      | sequence 0 | sequence 1 | sequence 2 | padding |         the next size that is large enough
    padding     slot -1: writes nothing       length 0: reads nothing

A graph reads and writes the same memory each time, so all inputs of a step lie in one buffer on the GPU, which is
filled from pinned memory by one copy. The newest token of each sequence stays on the GPU, where the next step finds it.
Source: CUDA graphs in vLLM (CUDAGraphWrapper) and nano-vllm.
"""

from functools import cache
from types import SimpleNamespace

import numpy as np
import torch

from course_lib.decoding.choosing import ChoiceRows
from course_lib.kvcache.batch import Batch

from .batch import SAMPLING

COLUMNS = {
    "rows": torch.int64, "seed": torch.int64, "choice_positions": torch.int64, "token_ids": torch.int32, "positions":
    torch.int32, "seq_lens": torch.int32, "slots": torch.int32, "top_k": torch.int32, "temperature": torch.float32,
    "top_p": torch.float32, "min_p": torch.float32,
}  # fmt: skip
"""What a step says of each sequence, in the types that a step without a graph has too: no kernel is compiled twice."""
SAMPLING_DTYPES = tuple(COLUMNS[name] for name in SAMPLING)
RING = 3  # pinned buffers: a step may be prepared while the copies of the two before are still under way


def batch_sizes(most):
    """The batch sizes that are captured, ascending; the last is `most`."""
    sizes = [1, 2, 4, *range(8, min(most, 256), 8), *range(256, most, 32)]
    return [size for size in sizes if size < most] + [most]


def num_bytes(size):
    """Bytes of the columns of `size` sequences."""
    return bytes_of(lengths(size))


def columns(buffer, size):
    """{name: [size]}: the columns as views of one buffer of bytes. Those of any size lie in one piece, so that one copy
    brings them to the GPU.
    """
    return views(buffer, lengths(size))


def lengths(size):
    """{name: (dtype, length)} of the columns of `size` sequences."""
    return {name: (dtype, size) for name, dtype in COLUMNS.items()}


def bytes_of(lengths):
    """Bytes of columns of these types and lengths: {name: (dtype, length)}."""
    return sum(-(-length // 4) * 4 * dtype.itemsize for dtype, length in lengths.values())


def views(buffer, lengths):
    """{name: [length]}: views of one buffer of bytes, one after the other, each at a multiple of 16 bytes."""
    found, start = {}, 0
    for name, (dtype, length) in lengths.items():
        end = start + -(-length // 4) * 4 * dtype.itemsize
        found[name] = buffer[start:end].view(dtype)[:length]
        start = end
    return found


class DecodeGraphs:
    """Captured decode steps. forward: a FusedTransformer. cache: its PagedCache. newest: int64, the token of each
    row; the last row is nobody's. choose: decoding.choosing_kernel.choose. most: sequences at a time. width: blocks
    of the longest sequence.
    """

    def __init__(self, forward, cache, newest, choose, most, width):
        self.forward, self.cache, self.newest, self.choose = forward, cache, newest, choose
        self.sizes, self.graphs, self.pool = batch_sizes(most), {}, None
        device = newest.device
        self.bytes = torch.zeros(num_bytes(most), dtype=torch.uint8, device=device)
        self.tables = torch.zeros((most, width), dtype=torch.int32, device=device)
        self.chosen = torch.zeros(most, dtype=torch.int64, device=device)
        buffers = self.bytes, self.tables
        self.pinned = [[torch.zeros(b.shape, dtype=b.dtype, pin_memory=True) for b in buffers] for _ in range(RING)]
        self.turn = 0
        self.filled = {}  # (turn, size) -> the columns of that pinned buffer, as arrays
        self.logits = {}  # size -> where its graph leaves them
        self.last = None, None  # of the last run: its size, and the order of its sequences

    @torch.inference_mode()
    def capture(self):
        """Records all sizes, the largest first, so that the smaller ones find their memory in its pool."""
        for size in reversed(self.sizes):
            self._pad(columns(self.bytes, size), 0)
            self.graphs[size], logits = captured(self._step, size, self.pool, self.forward)
            self.logits[size] = unowned(logits)
            self.pool = self.graphs[size].pool()
        torch.cuda.synchronize()

    def _pad(self, filled, count):
        """Fills the places from `count` on with no sequence: the row that is nobody's, slot -1, length 0."""
        for name, column in filled.items():
            column[count:] = {"rows": len(self.newest) - 1, "slots": -1}.get(name, 0)

    def _step(self, size):
        """The whole step on the first `size` places of the buffers: embedding to chosen token. Returns the logits."""
        c = columns(self.bytes, size)
        ids = torch.where(c["token_ids"] < 0, self.newest[c["rows"]], c["token_ids"])
        self.cache.begin_batch(Batch(c["slots"], self.tables[:size], c["seq_lens"], None, True, c["positions"]))
        logits = self.forward(ids, c["positions"], self.cache)
        names = "temperature", "top_k", "top_p", "min_p", "seed", "choice_positions"
        self.choose(logits, ChoiceRows(*(c[name] for name in names)), out=self.chosen[:size])
        self.newest.index_copy_(0, c["rows"], self.chosen[:size])
        return logits

    def run(self, arrays, sampling):
        """Replays a decode step. arrays: its StepArrays. sampling: the runner's columns by row.

        Returns (names, int64 tensor): the tokens in another order than that of the step. The longest sequences come
        first, so that no program of the attention kernel begins with a long one when the others are nearly done.
        """
        count, (turn, self.turn) = len(arrays.names), (self.turn, (self.turn + 1) % RING)
        size = next(size for size in self.sizes if size >= count)
        numbers, tables = self.pinned[turn]
        if (turn, size) not in self.filled:
            self.filled[turn, size] = {name: column.numpy() for name, column in columns(numbers, size).items()}
        filled, order = self.filled[turn, size], np.argsort(-arrays.seq_lens, kind="stable")
        self._pad(filled, count)
        rows = arrays.choice_rows[order]
        filled["rows"][:count] = rows
        for name in ("token_ids", "positions", "seq_lens", "slots", "choice_positions"):
            np.take(getattr(arrays, name), order, out=filled[name][:count], mode="clip")
        for name, kept in sampling.items():
            np.take(kept, rows, out=filled[name][:count], mode="clip")
        width = arrays.block_tables.shape[1]
        flat = tables.view(-1)[: count * width].view(count, width)
        np.take(arrays.block_tables, order, axis=0, out=flat.numpy(), mode="clip")
        used = num_bytes(size)
        self.bytes[:used].copy_(numbers[:used], non_blocking=True)
        self.tables[:count, :width].copy_(flat, non_blocking=True)
        self.graphs[size].replay()
        self.last = size, order
        return [arrays.names[i] for i in order], self.chosen[:count]

    def logits_of_last_run(self):
        """(the order of the sequences, as indices into the step; logits [count, vocab_size]), until the next run."""
        size, order = self.last
        return order, self.logits[size][: len(order)]


@cache
def warm_up_stream(device):
    """One for all graphs of a device: cuBLAS keeps a workspace (32 MiB on an H200) for each stream that it has met."""
    return torch.cuda.Stream(device)


def captured(step, size, pool, forward):
    """(a CUDA graph of step(size), what step returned). It runs once before, which compiles its kernels.

    pool: the memory of other graphs, which this one shares, or None. forward: the model that runs in the step.
    """
    others_too = getattr(forward, "group", None) is not None  # NCCL has a thread of its own on this GPU
    stream = warm_up_stream(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step(size)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local" if others_too else "global"):
        found = step(size)
    return graph, found


def unowned(tensor):
    """The same memory without keeping it. Each graph may then use the memory of the others, and what it leaves there is
    whole until the next one runs. vLLM does so too (weak_ref_tensor).
    """
    storage = tensor.untyped_storage()
    interface = {"shape": (storage.nbytes(),), "typestr": "|u1", "data": (storage.data_ptr(), False), "version": 3}
    flat = torch.as_tensor(SimpleNamespace(__cuda_array_interface__=interface), device=tensor.device)
    return flat.view(tensor.dtype).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
