"""The runner with speculation: drafts are filled in, checked by one run of the model, and cut where they are wrong.

    token_ids     | a  d1 d2 d3 | b  d1 | chunk of c's prompt |      d1 ... are drafted; the model runs over all once
    logits_rows     ^  ^  ^  ^    ^  ^                      ^
    kept            d1 d2 x       y                         z        x in the place of a's third draft

The draft model has a KV pool of its own with as many blocks, and the same block ids mean the same tokens in both. So it
needs no ledger: what is shared, copied or swapped in one is in the other too.
"""

import time
from collections import Counter

import numpy as np
import torch

from course_lib.decoding.choosing import choose, probabilities
from course_lib.decoding.speculative import rejection_sample
from course_lib.kvcache import KVPool, PagedCache

from .runner import Runner, Tokens
from .speculation import DraftModel
from .step import ScheduledSequence


class SpeculativeRunner(Runner):
    """As Runner, for a config with `speculation`. `draft_seconds` and `verify_seconds` say what the two took so far."""

    def __init__(self, model, cache, config):
        super().__init__(model, cache, config)
        self.speculation, self.drafter = config.speculation, None
        if isinstance(config.speculation, DraftModel):
            self.drafter = Drafter(self, config.speculation.model)
            self.pools.append(self.drafter.cache.pool)
        self.draft_seconds = self.verify_seconds = 0.0

    @torch.inference_mode()
    def run(self, step):
        """As Runner.run. The Tokens of a sequence with drafts are those that were accepted and one more."""
        arrays = self.prepare(step)
        if arrays is None:
            return Tokens([], None)
        began = time.perf_counter()
        draft = self.drafter.fill_in(self, step.scheduled, arrays) if self.drafter is not None else None
        drafted = time.perf_counter()
        logits = self.forward(arrays)
        tokens = self.choose(arrays, logits) if arrays.is_checked is None else self.check(arrays, logits, draft)
        self.draft_seconds += drafted - began
        self.verify_seconds += time.perf_counter() - drafted
        return tokens

    def prepare(self, step):
        """As Runner.prepare."""
        if self.drafter is not None:
            for request_id, _ in step.preempted:
                self.drafter.last.pop(request_id, None)
        return super().prepare(step)

    def check(self, arrays, logits, draft):
        """Which drafts are accepted. draft: the probabilities that each was drawn from, or None where each was certain.
        Returns CheckedTokens.
        """
        rows, checked = self.choice_rows(arrays), np.flatnonzero(arrays.is_checked)
        chosen = choose(logits, rows)
        at = torch.from_numpy(checked).to(logits.device)
        drafted = torch.from_numpy(arrays.token_ids[arrays.logits_rows[checked] + 1]).to(logits.device, torch.int64)
        if rows.is_greedy or self.speculation.is_strict:
            accepted = chosen[at] == drafted
        else:
            seeds, positions = rows.seed[at], rows.position[at]
            target = probabilities(logits, rows)[at]
            chosen[at], accepted = rejection_sample(target, draft, drafted, seeds, positions)
        return self.keep(arrays, chosen.tolist(), accepted.tolist())

    def keep(self, arrays, chosen, accepted):
        """The CheckedTokens of a step. chosen: a token id for each of its choices; accepted: for each drafted token."""
        goes_on = arrays.is_checked.copy()
        goes_on[arrays.is_checked] = accepted
        tokens = cut(arrays.names, chosen, goes_on.tolist())
        if self.drafter is not None:
            self.drafter.note_last(arrays, tokens)
        return CheckedTokens(tokens)

    def forget(self, request_id):
        """As Runner.forget."""
        super().forget(request_id)
        if self.drafter is not None:
            self.drafter.last.pop(request_id, None)


class Drafter:
    """A draft model beside a Runner, over the same blocks. The runner holds it, so it does not hold the runner."""

    def __init__(self, runner, model):
        self.model = model
        pool = runner.pool
        own = KVPool(model.config, pool.num_blocks, pool.block_size, model.device, model.dtype)
        seen = {"window": getattr(runner.cache, "window", None), "sinks": getattr(runner.cache, "sinks", 0)}
        self.cache = PagedCache(own, runner.cache.allocator, **seen)
        self.last = {}  # sequence id -> its last token, where this model has not computed that

    def fill_in(self, runner, scheduled, arrays):
        """Drafts the tokens that are -1 in arrays.token_ids. Returns the probabilities that they were drawn from,
        float32 [drafts, vocab_size] in the order of the batch, or None where no rule asks for them.

        Each sequence is computed as far as the model itself goes in this step, drafts or not.
        """
        places = arrays.cu_seqlens[1:] - [sequence.num_drafts for sequence in scheduled]  # of each one's first draft
        left = list(zip(places.tolist(), scheduled))
        step, drawn, drawn_places = [self._caught_up(sequence) for sequence in scheduled], [], []
        while step:
            batch_arrays = runner.rows.arrays(step)
            left = [(place, sequence) for place, sequence in left if sequence.num_drafts]
            logits = self._forward(runner, batch_arrays)
            if not left:
                break
            rows = runner.choice_rows(batch_arrays)
            token_ids = choose(logits, rows).tolist()
            if not drawn:
                is_asked = not rows.is_greedy and not runner.speculation.is_strict
            drawn.append(probabilities(logits, rows) if is_asked else None)
            drawn_places += [place for place, _ in left]
            step, after = [], []
            for token_id, (place, sequence) in zip(token_ids, left):
                arrays.token_ids[place] = token_id
                if sequence.num_drafts > 1:
                    position = sequence.start + sequence.num_tokens - sequence.num_drafts
                    step.append(ScheduledSequence(sequence.request_id, position, 1, [token_id], 1))
                    after.append((place + 1, sequence._replace(num_drafts=sequence.num_drafts - 1)))
            left = after
        if not drawn or not is_asked:
            return None
        return torch.cat(drawn)[torch.tensor(np.argsort(drawn_places), device=self.model.device)]

    def _caught_up(self, sequence):
        """The given tokens of a sequence, and before them the one that this model has not computed, if there is one."""
        token_ids = sequence.token_ids[: sequence.num_tokens - sequence.num_drafts]
        missing = [self.last.pop(sequence.request_id)] if sequence.request_id in self.last else []
        ids, choices = missing + token_ids, int(sequence.num_drafts > 0)
        return ScheduledSequence(sequence.request_id, sequence.start - len(missing), len(ids), ids, choices)

    def _forward(self, runner, arrays):
        batch = runner.batch_of(arrays)
        self.cache.begin_batch(batch)
        return self.model(batch.token_ids, batch.positions, self.cache, logits_for=batch.logits_rows)

    def note_last(self, arrays, tokens):
        """Remembers the last draft of each sequence that had all of its drafts accepted."""
        num_choices = Counter(arrays.names)
        for name, kept in tokens.items():
            if 1 < len(kept) == num_choices[name]:
                self.last[name] = kept[-2]


class CheckedTokens:
    """As Tokens, and there already."""

    logprobs = None

    def __init__(self, tokens):
        self.tokens = tokens

    def wait(self):
        """{sequence id: [token ids]}."""
        return self.tokens


def cut(names, token_ids, goes_on):
    """{sequence id: its tokens up to the first after which it does not go on}. Lists with an item for each choice."""
    tokens, done = {}, set()
    for name, token_id, more in zip(names, token_ids, goes_on):
        if name not in done:
            tokens.setdefault(name, []).append(token_id)
            if not more:
                done.add(name)
    return tokens
