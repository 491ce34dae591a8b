"""One step as arrays: what the runner knows about each sequence, and what the model and attention need of it now.

Each sequence has a row in arrays that stay from step to step: its block table, and how its tokens are chosen. A step
brings only what is new (see step.py), so a decode step costs a few operations on whole columns, however long the
sequences are.

    step      ScheduledSequence(request_id="7", start=41, num_tokens=1, token_ids=[523], ...)
    rows      "7" -> row 3      tables[3] = 12 5 40 -1 -1 ...      temperature[3], top_p[3], seed[3], ...
    arrays    token_ids 523     positions 41     seq_lens 42     slots 40 * 16 + 9     block_tables 12 5 40
"""

from dataclasses import dataclass

import numpy as np

from .request import sequence_ids

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "seed")
SAMPLING_TYPES = (np.float32, np.int32, np.float32, np.float32, np.int64)


@dataclass(frozen=True)
class StepArrays:
    """A step as NumPy arrays. Sequence i has the tokens cu_seqlens[i] to cu_seqlens[i + 1] - 1."""

    token_ids: np.ndarray
    """int32 [num_tokens]; -1: the newest token of its row, which was chosen in the step before."""
    token_rows: np.ndarray
    """int64 [num_tokens]: the row of each token's sequence."""
    positions: np.ndarray
    """int32 [num_tokens]."""
    slots: np.ndarray
    """int32 [num_tokens]: where the key and value of each token go."""
    seq_lens: np.ndarray
    """int32 [num_seqs], the new tokens included."""
    cu_seqlens: np.ndarray
    """int32 [num_seqs + 1]."""
    block_tables: np.ndarray
    """int32 [num_seqs, most blocks], padded with -1."""
    is_decode: bool
    """Whether every sequence brings one token."""
    logits_rows: np.ndarray
    """int32 [num_choices]: the token after which each token is chosen."""
    choice_rows: np.ndarray
    """int64 [num_choices]: the row of its sequence."""
    choice_positions: np.ndarray
    """int64 [num_choices]: the position of the token that is chosen."""
    seed_offsets: np.ndarray
    """int64 [num_choices]: sequence i of n draws with seed + i."""
    names: list
    """The id of the sequence that each chosen token belongs to."""
    is_checked: np.ndarray | None = None
    """bool [num_choices]: whether a drafted token stands after it, which is held against the chosen one. None: no
    token of the step is drafted."""

    @property
    def is_plain_decode(self):
        """Whether every sequence brings one token and is given one, as in a captured step.

        The numbers alone do not say it: two choices after one prompt and none in the middle of another are two too.
        """
        return self.is_decode and len(self.names) == len(self.seq_lens) and not self.seed_offsets.any()


class SequenceRows:
    """What the runner keeps of each sequence, a row each: its block table, and how its tokens are chosen.

    num_rows: sequences at a time; more rows are made when they are needed. width: blocks of the longest sequence.
    """

    def __init__(self, num_rows, width, block_size):
        self.block_size = block_size
        self.row_of = {}  # sequence id -> row
        self._free = list(range(num_rows))[::-1]
        self.tables = np.full((num_rows, width), -1, np.int32)
        self.sampling = {name: np.zeros(num_rows, dtype) for name, dtype in zip(SAMPLING, SAMPLING_TYPES)}
        self.asking = {}  # row -> (SamplingParams, history) of those with penalties or logprobs

    def forget(self, request_id):
        """The row of a sequence that ended or gave its memory back is free for another."""
        row = self.row_of.pop(request_id, None)
        if row is not None:
            self._free.append(row)
            self.asking.pop(row, None)

    def take(self, step):
        """Takes over what a Step says of its sequences, and returns the StepArrays; None where nothing is computed."""
        for request_id, _ in step.preempted:
            self.forget(request_id)
        if not step.scheduled:
            return None
        for sequence in step.scheduled:
            if sequence.sampling is not None:
                self._begin(sequence)
            if sequence.block_ids:
                first, row = sequence.first_block, self.row_of[sequence.request_id]
                self.tables[row, first : first + len(sequence.block_ids)] = sequence.block_ids
        return self.arrays(step.scheduled)

    def arrays(self, scheduled):
        """The StepArrays of ScheduledSequences whose blocks are known."""
        row_of, tables = self.row_of, self.tables
        rows = np.array([row_of[sequence.request_id] for sequence in scheduled])
        starts = np.array([sequence.start for sequence in scheduled])
        counts = np.array([sequence.num_tokens for sequence in scheduled])
        if is_decode := int(counts.max()) == 1:
            token_ids = [sequence.token_ids[0] if sequence.token_ids else -1 for sequence in scheduled]
            token_rows, positions, ends = rows, starts, np.arange(len(rows) + 1, dtype=np.int32)
        else:
            token_ids = [i for sequence in scheduled for i in sequence.token_ids or (-1,)]
            ends = np.zeros(len(rows) + 1, np.int32)
            np.cumsum(counts, out=ends[1:])
            token_rows = np.repeat(rows, counts)
            positions = np.arange(len(token_rows)) + np.repeat(starts - ends[:-1], counts)
        seq_lens = starts + counts
        size = self.block_size
        return StepArrays(
            np.array(token_ids, np.int32),
            token_rows,
            positions.astype(np.int32),
            tables[token_rows, positions // size] * size + (positions % size).astype(np.int32),
            seq_lens.astype(np.int32),
            ends,
            tables[rows, : -(-int(seq_lens.max()) // size)],
            is_decode,
            *self._choices(scheduled, rows, ends, seq_lens),
        )

    def _choices(self, scheduled, rows, ends, seq_lens):
        if ends[-1] > len(rows) and any(sequence.num_drafts for sequence in scheduled):
            return self._choices_with_drafts(scheduled, rows, ends, seq_lens)
        choices = np.array([sequence.num_choices for sequence in scheduled])
        if int(choices.max()) <= 1:
            at = np.flatnonzero(choices)
            names = [sequence.request_id for sequence in scheduled if sequence.num_choices]
            offsets = np.zeros(len(at), np.int64)
        else:
            at = np.repeat(np.arange(len(choices)), choices)
            names = [name for one in scheduled for name in sequence_ids(one.request_id, one.num_choices)]
            offsets = np.concatenate([np.arange(n) for n in choices])
        return ends[at + 1] - 1, rows[at], seq_lens[at], offsets, names

    def _choices_with_drafts(self, scheduled, rows, ends, seq_lens):
        """A choice after the last given token of each sequence, and one after each drafted token."""
        choices = np.array([sequence.num_choices for sequence in scheduled])
        drafts = np.array([sequence.num_drafts for sequence in scheduled])
        at = np.repeat(np.arange(len(choices)), choices + drafts)
        index = np.concatenate([np.arange(n) for n in choices + drafts])
        missing = np.where(drafts[at] > 0, drafts[at] - index, 0)  # drafted tokens that are not seen yet
        names = [name for one in scheduled for name in names_of_choices(one)]
        offsets = np.where(drafts[at] > 0, 0, index)
        return ends[at + 1] - 1 - missing, rows[at], seq_lens[at] - missing, offsets, names, missing > 0

    def _begin(self, sequence):
        params, seed = sequence.sampling
        if sequence.request_id not in self.row_of:
            if not self._free:
                self._double()
            self.row_of[sequence.request_id] = self._free.pop()
        row = self.row_of[sequence.request_id]
        self.tables[row] = -1
        values = (params.temperature, params.top_k or 0, params.top_p, params.min_p, seed)
        for name, value in zip(SAMPLING, values):
            self.sampling[name][row] = value
        self.asking.pop(row, None)
        if params.has_penalties or params.logprobs is not None:
            self.asking[row] = params, sequence.history

    def _double(self):
        num_rows = len(self.tables)
        self._free = list(range(num_rows, 2 * num_rows))[::-1]
        self.tables = np.concatenate([self.tables, np.full_like(self.tables, -1)])
        self.sampling = {name: np.concatenate([kept, kept]) for name, kept in self.sampling.items()}


def names_of_choices(sequence):
    """The id of each token that is chosen for a ScheduledSequence."""
    if sequence.num_drafts:
        return [sequence.request_id] * (1 + sequence.num_drafts)
    return sequence_ids(sequence.request_id, sequence.num_choices)
