"""Steps of speculation as CUDA graphs: for each batch size one graph that drafts, and one that checks.

    draft graph    missing + newest | d1 | d2 | ...    k runs of the draft model; each token stays on the GPU
    check graph    a d1 d2 d3 | b d1 | c | padding     one run of the model over at most k + 1 tokens a sequence

The sequences of a check lie packed, so one with fewer drafts needs no padding of its own: where each begins is one of
the inputs. Inputs lie in one buffer, as in graphs.py. Where drafts come from the text itself there is no draft graph.
"""

import numpy as np
import torch

from course_lib.decoding.choosing import ChoiceRows
from course_lib.kvcache.batch import Batch

from .batch import SAMPLING
from .graphs import SAMPLING_DTYPES, batch_sizes, bytes_of, captured, views


class SpeculationGraphs:
    """Captured steps of sequences that decode with at most `k` drafts each.

    forward, draft: FusedTransformers, and cache, draft_cache their PagedCaches over the same blocks; draft may be None.
    choose: decoding.choosing_kernel.choose. most: sequences at a time. width: blocks of the longest sequence.
    """

    def __init__(self, forward, cache, choose, most, width, k, draft=None, draft_cache=None):
        self.forward, self.cache, self.choose, self.k = forward, cache, choose, k
        self.draft, self.draft_cache = draft, draft_cache
        self.sizes, self.graphs, self.logits, self.pool = batch_sizes(most), {}, {}, None
        device = forward.device
        self.bytes = torch.zeros(bytes_of(self.lengths(most)), dtype=torch.uint8, device=device)
        self.tables = torch.zeros((most, width), dtype=torch.int32, device=device)
        self.drafted = torch.zeros(k * most, dtype=torch.int64, device=device)
        self.chosen = torch.zeros((k + 1) * most, dtype=torch.int64, device=device)
        pinned = lambda x: torch.zeros(x.shape, dtype=x.dtype, pin_memory=x.is_cuda)  # noqa: E731
        self.pinned, self.pinned_tables = pinned(self.bytes), pinned(self.tables)
        self.back = pinned(self.chosen), pinned(self.drafted)
        self.events = [torch.cuda.Event(enable_timing=True) for _ in range(3 * device.type.startswith("cuda"))]

    def lengths(self, size):
        """{name: (dtype, length)} of the inputs of `size` sequences.

        Without a prefix: of the check, for each token or sequence; draft_at says for each token which draft it is.
        "first_": of the first run of the draft model, at most two tokens a sequence. "draft_": of each run of the draft
        model, for each sequence. "seq_": how the draft model's tokens are chosen, for each sequence.
        """
        tokens, drafts, int32, int64 = size * (self.k + 1), size * self.k, torch.int32, torch.int64
        found = dict.fromkeys(("token_ids", "draft_at", "positions", "slots"), (int32, tokens))
        found |= {"choice_positions": (int64, tokens)} | {
            name: (dtype, tokens) for name, dtype in zip(SAMPLING, SAMPLING_DTYPES)
        }
        found |= {"ends": (int32, size + 1), "seq_lens": (int32, size)}
        if self.draft is not None:
            found |= {f"first_{name}": (int32, 2 * size) for name in ("ids", "positions", "slots")}
            found |= {"first_ends": (int32, size + 1), "first_last": (int32, size)}
            found |= {f"draft_{name}": (int32, drafts) for name in ("positions", "slots", "lens")}
            found |= {"draft_choice_positions": (int64, drafts)} | {
                f"seq_{name}": (dtype, size) for name, dtype in zip(SAMPLING, SAMPLING_DTYPES)
            }
        return found

    @torch.inference_mode()
    def capture(self):
        """Records all sizes, the largest first, so that the smaller ones find their memory in its pool."""
        for size in reversed(self.sizes):
            self._empty(size)
            self.bytes.copy_(self.pinned)
            steps = [self._check] if self.draft is None else [self._draft, self._check]
            self.graphs[size], self.logits[size] = [], []
            for step in steps:
                graph, logits = captured(step, size, self.pool, self.forward)
                self.pool = graph.pool()
                self.graphs[size].append(graph)
                self.logits[size].append(logits)
        torch.cuda.synchronize()

    def _draft(self, size):
        """k runs of the draft model. Returns their logits, [k, size, vocab_size] as a list."""
        c, tables, found = views(self.bytes, self.lengths(size)), self.tables[:size], []
        ids, positions, last = c["first_ids"], c["first_positions"], c["first_last"]
        batch = Batch(c["first_slots"], tables, c["draft_lens"][:size], c["first_ends"], False, positions)
        for i in range(self.k):
            if i:
                here = slice(i * size, (i + 1) * size)
                ids, positions, last = self.drafted[(i - 1) * size : i * size], c["draft_positions"][here], None
                batch = Batch(c["draft_slots"][here], tables, c["draft_lens"][here], None, True, positions)
            self.draft_cache.begin_batch(batch)
            found.append(self.draft(ids, positions, self.draft_cache, logits_for=last))
            at = c["draft_choice_positions"][i * size : (i + 1) * size]
            rows = ChoiceRows(*(c[f"seq_{name}"] for name in SAMPLING), at)
            self.choose(found[-1], rows, out=self.drafted[i * size : (i + 1) * size])
        return found

    def _check(self, size):
        """One run of the model over the newest token of each sequence and its drafts. Returns the logits."""
        c, tables, n = views(self.bytes, self.lengths(size)), self.tables[:size], size * (self.k + 1)
        ids = torch.where(c["token_ids"] < 0, self.drafted.index_select(0, c["draft_at"]), c["token_ids"])
        batch = Batch(c["slots"], tables, c["seq_lens"], c["ends"], False, c["positions"])
        self.cache.begin_batch(batch)
        logits = self.forward(ids, c["positions"], self.cache)
        rows = ChoiceRows(*(c[name] for name in SAMPLING), c["choice_positions"])
        self.choose(logits, rows, out=self.chosen[:n])
        return logits

    def run(self, arrays, sampling, missing):
        """Replays a step. arrays: its StepArrays, of sequences that decode, with drafts or without; drafts that are -1
        are filled in. sampling: the runner's columns by row. missing: for each sequence the token that the draft model
        has not computed, or None.

        Returns (int64 array: a token chosen after each token of the step; logits; a list of the logits of each run of
        the draft model, in which row i is sequence i, or None). Logits stay valid until the next step.
        """
        count, total, begins = len(arrays.seq_lens), len(arrays.token_ids), arrays.cu_seqlens[:-1]
        size = next(size for size in self.sizes if size >= count)
        filled, (counts, of, place) = self._empty(size), places(arrays)
        for name in ("token_ids", "positions", "slots", "choice_positions"):
            filled[name][:total] = getattr(arrays, name)
        for name, kept in sampling.items():
            filled[name][:total] = kept[arrays.choice_rows]
        filled["draft_at"][:total] = np.maximum(place - 1, 0) * size + of
        filled["seq_lens"][:count] = arrays.seq_lens
        filled["ends"][: count + 1], filled["ends"][count + 1 :] = arrays.cu_seqlens, total
        if self.draft is not None:
            self._fill_first(filled, arrays, missing)
            self._fill_drafts(filled, arrays, counts - 1, size)
            for name, kept in sampling.items():
                filled[f"seq_{name}"][:count] = kept[arrays.choice_rows[begins]]
        self._replay(arrays.block_tables, size)
        chosen, drafted = (x.numpy() for x in self.back)
        is_open = arrays.token_ids < 0
        arrays.token_ids[is_open] = drafted[filled["draft_at"][:total][is_open]]
        logits = self.logits[size]
        return chosen[:total], logits[-1][:total], logits[0] if self.draft is not None else None

    def _empty(self, size):
        """The pinned inputs of `size` sequences as arrays, with no token in them: slot -1, length 0."""
        self.pinned[: bytes_of(self.lengths(size))] = 0
        filled = {name: x.numpy() for name, x in views(self.pinned, self.lengths(size)).items()}
        for name in filled:
            if name.endswith("slots"):
                filled[name][:] = -1
        return filled

    def _fill_first(self, filled, arrays, missing):
        """The first run of the draft model: the newest token of each sequence, and the missing one before it."""
        count, newest = len(missing), arrays.cu_seqlens[:-1]
        behind = np.array([token is not None for token in missing])
        ends = np.cumsum(1 + behind)
        last, starts = ends - 1, arrays.positions[newest]
        filled["first_ends"][1 : count + 1], filled["first_ends"][count + 1 :] = ends, ends[-1]
        filled["first_last"][:count] = last
        for name, column in (("ids", "token_ids"), ("positions", "positions"), ("slots", "slots")):
            filled[f"first_{name}"][last] = getattr(arrays, column)[newest]
        at, before, size = last[behind] - 1, starts[behind] - 1, self.cache.pool.block_size
        filled["first_ids"][at] = [token for token in missing if token is not None]
        filled["first_positions"][at] = before
        filled["first_slots"][at] = arrays.block_tables[behind.nonzero()[0], before // size] * size + before % size

    def _fill_drafts(self, filled, arrays, num_drafts, size):
        """Where each run of the draft model stands. Run i > 0 computes draft i, for sequences that have more than i."""
        count, newest = len(num_drafts), arrays.cu_seqlens[:-1]
        starts = arrays.positions[newest]
        for i in range(self.k):
            here, goes_on = slice(i * size, i * size + count), (num_drafts > i) | (i == 0)
            filled["draft_positions"][here] = np.where(goes_on, starts + i, 0)
            filled["draft_lens"][here] = np.where(goes_on, starts + i + 1, 0)
            filled["draft_slots"][here] = np.where(goes_on, arrays.slots[newest + np.minimum(i, num_drafts)], -1)
            filled["draft_choice_positions"][here] = starts + i + 1

    def _replay(self, block_tables, size):
        (count, width), used = block_tables.shape, bytes_of(self.lengths(size))
        flat = self.pinned_tables.view(-1)[: count * width].view(count, width)
        flat.numpy()[:] = block_tables
        self.bytes[:used].copy_(self.pinned[:used], non_blocking=True)
        self.tables[:count, :width].copy_(flat, non_blocking=True)
        self._run_graphs(size)
        for there, here in zip(self.back, (self.chosen, self.drafted)):
            there.copy_(here, non_blocking=True)
        if self.bytes.is_cuda:
            torch.cuda.current_stream().synchronize()

    def _run_graphs(self, size):
        for event, graph in zip(self.events[-1 - len(self.graphs[size]) :], self.graphs[size]):
            event.record()
            graph.replay()
        self.events[-1].record()

    def seconds(self):
        """(draft, check): how long the two graphs of the last step took."""
        begin, middle, end = self.events
        check = middle.elapsed_time(end) / 1e3
        return (begin.elapsed_time(middle) / 1e3 if self.draft is not None else 0.0), check


def places(arrays):
    """(tokens of each sequence, the sequence of each token, the place of each token in it) of a StepArrays."""
    counts = np.diff(arrays.cu_seqlens)
    place = np.arange(len(arrays.token_ids)) - np.repeat(arrays.cu_seqlens[:-1], counts)
    return counts, np.repeat(np.arange(len(counts)), counts), place
