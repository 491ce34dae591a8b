"""One step as tensors: the tokens of all sequences in one flat batch, and where attention finds what it reads and
writes.

tokens of a step    | sequence 0: 3 new | sequence 1: 1 new |        one flat batch, any number and lengths
slot_mapping        | 14  15  40        | 3                 |        where the k and v of each are written
cu_seqlens_q        0                   3                   4        which tokens belong to which sequence
block_tables        | 3  10             | 0  -1             |        where all k and v of each sequence are read
logits_rows                 2                   3                    the tokens whose logits are wanted
"""

from dataclasses import dataclass, replace

import torch

from course_lib.attention.reference.twins import slots_of


@dataclass(frozen=True)
class Batch:
    """What the model and attention need to know in one step. Integer tensors, on the device of the pool."""

    slot_mapping: torch.Tensor
    """[num_tokens]: the slot of each new token; -1 is padding, for which nothing is written."""
    block_tables: torch.Tensor
    """[num_seqs, most blocks of a sequence], padded with -1."""
    seq_lens: torch.Tensor
    """[num_seqs]: tokens of each sequence, the new ones included; 0 is padding, for which nothing is read."""
    cu_seqlens_q: torch.Tensor
    """[num_seqs + 1]: sequence i has the new tokens cu_seqlens_q[i] to cu_seqlens_q[i + 1] - 1; they are its last
    ones.
    """
    is_decode: bool
    """Whether every sequence brings one new token."""
    positions: torch.Tensor | None = None
    """[num_tokens]: where each token stands in its sequence."""
    token_ids: torch.Tensor | None = None
    """[num_tokens]. None where the caller passes them to the model itself."""
    logits_rows: torch.Tensor | None = None
    """[num_rows]: the tokens after which a token is chosen. None: after every token."""
    num_decodes: int = 0
    """On a GPU, in a batch that is no decode: so many sequences at its beginning bring one token each, and are computed
    by the decode kernel."""
    cu_seqlens_rest: torch.Tensor | None = None
    """On a GPU: cu_seqlens_q of the sequences after those, counted from 0."""
    grouped_decodes: tuple = ()
    """On a CPU, of each group of sequences of similar length that bring one token each: rows of those tokens, slots
    of all
    their tokens padded to the longest, seq_lens."""
    singles: tuple = ()
    """On a CPU, of each other sequence: rows of its new tokens, its blocks, its length."""


def plan_for_cpu(batch, seq_lens, num_new, block_size, window=None, sinks=0):
    """The batch with what each layer would otherwise work out again: which sequences are gathered together, which
    alone.

    seq_lens, num_new: the lengths and numbers of new tokens as lists of ints. window, sinks: what no token of any layer
    sees, and so is not gathered: its blocks may be given away already.
    """
    starts, groups, grouped_decodes = batch.cu_seqlens_q.tolist(), groups_of_similar_length(seq_lens, num_new), []
    for group in groups:
        at = torch.tensor(group)
        slots = slots_of(batch.block_tables[at], batch.seq_lens[at], block_size, seq_lens[group[-1]], window, sinks)
        grouped_decodes.append((batch.cu_seqlens_q[at], slots, batch.seq_lens[at]))
    grouped = {i for group in groups for i in group}
    singles = [
        (slice(starts[i], starts[i + 1]), batch.block_tables[i, : -(-seq_lens[i] // block_size)], seq_lens[i])
        for i in range(len(num_new))
        if i not in grouped
    ]
    return replace(batch, grouped_decodes=tuple(grouped_decodes), singles=tuple(singles))


def groups_of_similar_length(seq_lens, num_new):
    """Sequences with one new token in groups of two or more, shortest first; padding makes none longer by more than
    half.
    """
    groups = []
    for i in sorted((i for i, n in enumerate(num_new) if n == 1), key=seq_lens.__getitem__):
        if groups and seq_lens[i] <= 1.5 * seq_lens[groups[-1][0]] + 16:
            groups[-1].append(i)
        else:
            groups.append([i])
    return [group for group in groups if len(group) > 1]
