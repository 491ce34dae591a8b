"""Steps with prompts as CUDA graphs: one for each number of places for tokens of prompts and for sequences that decode.

    places      | a | b | padding |  chunk of c's prompt     | d's prompt      | padding        |
                  DECODES: 16 64 256   PROMPT_TOKENS: 32 64 128 192 ... 2048, for PROMPTS sequences
    attention     paged_decode         paged_attention, which finds the lengths on the GPU

A step takes the smallest graph with places enough. Padding is as in graphs.py: slot -1 writes nothing, length 0 reads
nothing. Launched one by one, the 300 kernels of a model of 28 layers take 16 to 20 ms of the CPU, however short the
prompt is, and whoever waits for a first token waits for that. A longer step, or one with more prompts, runs without a
graph: there the GPU has as much to do. Source: vLLM's CUDA graphs of mixed batches, which leave attention out.
"""

import numpy as np
import torch

from course_lib.decoding.choosing import ChoiceRows
from course_lib.kvcache.batch import Batch

from .batch import SAMPLING
from .graphs import RING, SAMPLING_DTYPES, bytes_of, captured, views

PROMPT_TOKENS = 32, 64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048
DECODES = 16, 64, 256
PROMPTS = 16


class PromptGraphs:
    """Captured steps with prompts. forward, cache, newest, choose, width: as in DecodeGraphs. config: the EngineConfig.
    pool: the memory of other graphs, which these share.
    """

    def __init__(self, forward, cache, newest, choose, width, config, pool=None):
        self.forward, self.cache, self.newest, self.choose, self.pool = forward, cache, newest, choose, pool
        decodes, self.prompts = capped(DECODES, config.max_num_seqs), min(PROMPTS, config.max_num_seqs)
        tokens = capped(PROMPT_TOKENS, config.max_num_batched_tokens)
        self.sizes, self.graphs = [(d, t) for t in tokens for d in decodes], {}
        most, device = decodes[-1] + self.prompts, newest.device
        self.bytes = torch.zeros(bytes_of(self.lengths(decodes[-1], tokens[-1])), dtype=torch.uint8, device=device)
        self.tables = torch.zeros((most, width), dtype=torch.int32, device=device)
        self.chosen = torch.zeros(most, dtype=torch.int64, device=device)
        pinned = lambda x: torch.zeros(x.shape, dtype=x.dtype, pin_memory=x.is_cuda)  # noqa: E731
        self.pinned, self.turn = [(pinned(self.bytes), pinned(self.tables)) for _ in range(RING)], 0

    def lengths(self, decodes, tokens):
        """{name: (dtype, length)} of the inputs: for each place of a token, of a sequence and of a choice."""
        places, sequences, int32, int64 = decodes + tokens, decodes + self.prompts, torch.int32, torch.int64
        found = {"token_rows": (int64, places)} | dict.fromkeys(("token_ids", "positions", "slots"), (int32, places))
        found |= {"seq_lens": (int32, sequences), "ends": (int32, self.prompts + 1), "logits_rows": (int32, sequences)}
        found |= dict.fromkeys(("choice_rows", "choice_positions"), (int64, sequences))
        return found | {name: (dtype, sequences) for name, dtype in zip(SAMPLING, SAMPLING_DTYPES)}

    @torch.inference_mode()
    def capture(self):
        """As DecodeGraphs.capture."""
        for size in reversed(self.sizes):
            self._empty(size, self.pinned[0][0])
            self.bytes.copy_(self.pinned[0][0])
            self.graphs[size], _ = captured(self._step, size, self.pool, self.forward)
            self.pool = self.graphs[size].pool()
        torch.cuda.synchronize()

    def _step(self, size):
        """The whole step: embedding to chosen tokens."""
        (decodes, _), c = size, views(self.bytes, self.lengths(*size))
        tables = self.tables[: decodes + self.prompts]
        ids = torch.where(c["token_ids"] < 0, self.newest[c["token_rows"]], c["token_ids"])
        batch = Batch(c["slots"], tables, c["seq_lens"], None, False, num_decodes=decodes, cu_seqlens_rest=c["ends"])
        self.cache.begin_batch(batch)
        logits = self.forward(ids, c["positions"], self.cache, logits_for=c["logits_rows"])
        rows, out = ChoiceRows(*(c[name] for name in SAMPLING), c["choice_positions"]), self.chosen[: len(logits)]
        self.choose(logits, rows, out=out)
        self.newest.index_copy_(0, c["choice_rows"], out)

    def size_of(self, arrays):
        """The smallest size with places for these StepArrays, or None: no graph can compute them."""
        decodes = num_decodes(arrays)
        tokens, prompts = len(arrays.token_ids) - decodes, len(arrays.seq_lens) - decodes
        if prompts > self.prompts or arrays.is_checked is not None or arrays.seed_offsets.any():
            return None  # drafts, or several choices after one prompt
        return next((size for size in self.sizes if size[0] >= decodes and size[1] >= tokens), None)

    def run(self, size, arrays, sampling):
        """Replays the step of that size. sampling: the runner's columns by row. Returns (names, int64 tensor)."""
        turn, self.turn = self.turn, (self.turn + 1) % RING
        numbers, tables = self.pinned[turn]
        width = self._fill(size, arrays, sampling, numbers, tables)
        used = bytes_of(self.lengths(*size))
        self.bytes[:used].copy_(numbers[:used], non_blocking=True)
        sequences = size[0] + self.prompts
        flat = tables.view(-1)[: sequences * width].view(sequences, width)
        self.tables[:sequences, :width].copy_(flat, non_blocking=True)
        self._replay(size)
        return arrays.names, self.chosen[: len(arrays.names)]

    def _replay(self, size):
        self.graphs[size].replay()

    def _empty(self, size, numbers):
        """The inputs of that size as arrays, with no sequence in them."""
        filled = {name: column.numpy() for name, column in views(numbers, self.lengths(*size)).items()}
        for name, column in filled.items():
            column[:] = {"slots": -1, "choice_rows": len(self.newest) - 1}.get(name, 0)
        return filled

    def _fill(self, size, arrays, sampling, numbers, tables):
        """Writes the step to pinned memory. Returns the width of its tables."""
        filled, (places, _), decodes = self._empty(size, numbers), size, num_decodes(arrays)
        count, total, width = len(arrays.seq_lens), len(arrays.token_ids), arrays.block_tables.shape[1]
        rest, tokens = count - decodes, total - decodes
        for name in ("token_ids", "token_rows", "positions", "slots"):
            column = getattr(arrays, name)
            filled[name][:decodes], filled[name][places : places + tokens] = column[:decodes], column[decodes:]
        flat = tables.view(-1)[: (places + self.prompts) * width].view(-1, width).numpy()
        for column, given in ((filled["seq_lens"], arrays.seq_lens), (flat, arrays.block_tables)):
            column[:decodes], column[places : places + rest] = given[:decodes], given[decodes:]
        filled["ends"][: rest + 1], filled["ends"][rest + 1 :] = arrays.cu_seqlens[decodes:] - decodes, tokens
        choices, rows = len(arrays.names), arrays.logits_rows
        filled["logits_rows"][:choices] = np.where(rows < decodes, rows, rows + places - decodes)
        filled["choice_rows"][:choices] = arrays.choice_rows
        filled["choice_positions"][:choices] = arrays.choice_positions
        for name, kept in sampling.items():
            filled[name][:choices] = kept[arrays.choice_rows]
        return width


def num_decodes(arrays):
    """How many sequences at the beginning of a step bring one token each."""
    longer = arrays.cu_seqlens[1:] - arrays.cu_seqlens[:-1] > 1
    return int(longer.argmax()) if longer.any() else len(longer)


def capped(sizes, most):
    """The sizes, none above `most`, ascending."""
    return sorted({min(size, most) for size in sizes})
