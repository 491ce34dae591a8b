"""The runner with speculation on a GPU: fused models, and steps in which all sequences decode as CUDA graphs."""

import gc
import time

import numpy as np
import torch

from course_lib.decoding.choosing import probabilities

from .drafting import CheckedTokens, SpeculativeRunner
from .speculation_graphs import SpeculationGraphs, places


class SpeculativeGPURunner(SpeculativeRunner):
    """As SpeculativeRunner, on a GPU. model and its draft model: Transformers. fuse: makes a FusedTransformer of each.

    It captures the graphs when it is made; `capture_seconds` says how long that took. A step with a prompt in it runs
    without a graph.
    """

    def __init__(self, model, cache, config, fuse):
        from course_lib.decoding.choosing_kernel import choose  # imports Triton

        super().__init__(fuse(model), cache, config)
        draft, draft_cache = None, None
        if self.drafter is not None:
            draft = self.drafter.model = fuse(self.drafter.model)
            draft_cache = self.drafter.cache
        began, k = time.perf_counter(), config.speculation.num_speculative_tokens
        width = self.rows.tables.shape[1]
        self.graphs = SpeculationGraphs(self.model, cache, choose, config.max_num_seqs, width, k, draft, draft_cache)
        self.graphs.capture()
        gc.collect()
        self.capture_seconds = time.perf_counter() - began

    @torch.inference_mode()
    def run(self, step):
        """As SpeculativeRunner.run."""
        decodes = all(one.num_tokens - one.num_drafts == 1 == one.num_choices for one in step.scheduled)
        if not decodes or not 0 < len(step.scheduled) <= self.graphs.sizes[-1]:
            return super().run(step)
        arrays, last = self.prepare(step), {} if self.drafter is None else self.drafter.last
        missing = [last.pop(sequence.request_id, None) for sequence in step.scheduled]
        chosen, logits, drawn_from = self.graphs.run(arrays, self.rows.sampling, missing)
        draft_seconds, verify_seconds = self.graphs.seconds()
        self.draft_seconds += draft_seconds
        self.verify_seconds += verify_seconds
        if arrays.is_checked is None:
            return CheckedTokens({name: [token] for name, token in zip(arrays.names, chosen.tolist())})
        checked = np.flatnonzero(arrays.is_checked)
        if self.speculation.is_strict or not self.rows.sampling["temperature"][arrays.choice_rows].any():
            return self.keep(arrays, chosen.tolist(), chosen[checked] == arrays.token_ids[checked + 1])
        return self.check(arrays, logits, None if drawn_from is None else self._probabilities(arrays, drawn_from))

    def _probabilities(self, arrays, drawn_from):
        """What each draft was drawn from, float32 [drafts, vocab_size] in the order of the batch."""
        (_, of, place), first = places(arrays), arrays.is_checked
        at = torch.from_numpy(np.stack([place[first], of[first]])).to(self.graphs.bytes.device)
        logits = torch.stack(drawn_from)[at[0], at[1]]
        rows = self.choice_rows(arrays)
        picked = torch.from_numpy(np.flatnonzero(first)).to(logits.device)
        names = "temperature", "top_k", "top_p", "min_p", "seed", "position"
        of_drafts = type(rows)(*(getattr(rows, name)[picked] for name in names), is_filtered=rows.is_filtered)
        return probabilities(logits, of_drafts)
