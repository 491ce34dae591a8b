"""How long one step of an engine takes, from what it computes and reads: the cost model of the simulator.

    seconds = per_step                      launching the kernels, and reading the weights once
            + per_batch                     with more than one token: products with a matrix, not with a vector
            + per_narrow   * tokens, 8 at most    products with few rows, which use a processor badly
            + per_sequence * sequences      what is done for each sequence: its choice of a token, its row of arrays
            + per_token    * tokens         products of each token with the weights
            + per_kv_token * KV tokens      reading the keys and values of each sequence, as long as it is
            + per_pair     * pairs          attention inside a prompt: pairs of a query and a key

This is a roofline, with a sum in the place of the maximum: kernels run one after the other, and each is limited by
memory or by arithmetic. So a step is as long as all of them together. Source: the roofline model (Williams et al.,
CACM 2009); for serving, Vidur (arXiv 2405.05465).
"""

from dataclasses import dataclass
from typing import NamedTuple

from course_lib.errors import ParameterError
from course_lib.kvcache.sizes import kv_bytes_per_token

from .checks import check_number

NARROW = 8
"""Rows of a matrix from which on a product uses all of a processor: as many as its vectors have float32 numbers."""


class StepWork(NamedTuple):
    """What one step computes and reads."""

    num_tokens: int
    num_sequences: int
    kv_tokens: int
    """Keys that are read, over all sequences: each has as many as it has computed tokens after this step."""
    num_pairs: int
    """Pairs of a query and a key at or before it, over the sequences with more than one token. A sequence with one
    token is limited by reading its keys and values, which `kv_tokens` counts.
    """


def work_of(step):
    """The StepWork of an engine's Step, or of a list of its ScheduledSequences. Drafted tokens count as any others."""
    scheduled = getattr(step, "scheduled", step)
    num_tokens = kv_tokens = num_pairs = 0
    for sequence in scheduled:
        start, n = sequence.start, sequence.num_tokens
        num_tokens += n
        kv_tokens += start + n
        if n > 1:
            num_pairs += n * start + n * (n + 1) // 2
    return StepWork(num_tokens, len(scheduled), kv_tokens, num_pairs)


@dataclass(frozen=True)
class CostModel:
    """Seconds of each part of a step. All are at least 0."""

    per_step: float = 0.0
    per_batch: float = 0.0
    """Only in steps with more than one token, which take other kernels than a single one."""
    per_narrow: float = 0.0
    """Of each of the first 8 tokens. On a CPU 8 tokens take much longer than 1, and 16 little longer than 8."""
    per_sequence: float = 0.0
    per_token: float = 0.0
    per_kv_token: float = 0.0
    per_pair: float = 0.0

    def __post_init__(self):
        for name, value in vars(self).items():
            check_number(name, value, "a time in seconds", at_least=0, instead=0.0)
        if not any(vars(self).values()):
            raise ParameterError("All costs are 0, so every request would be served at once. Calibrate, or give some.")

    def seconds(self, num_tokens, num_sequences, kv_tokens, num_pairs):
        """Seconds of a step. kv_tokens may be an array: then that of each of many steps that are else alike."""
        same = self.per_step + (self.per_batch if num_tokens > 1 else 0.0)
        same += self.per_narrow * min(num_tokens, NARROW)
        same += self.per_sequence * num_sequences + self.per_token * num_tokens
        return same + self.per_pair * num_pairs + self.per_kv_token * kv_tokens


def roofline(shape, *, bytes_per_s, flops_per_s, launch_s=0.0, weight_bytes=2, dtype="bfloat16"):
    """The CostModel that a datasheet promises for a model: no kernel is faster than memory and arithmetic allow.

    shape: a ModelConfig or ModelShape. bytes_per_s, flops_per_s: of the machine; measured ones are better than those of
    a datasheet. launch_s: seconds that a step takes without any work. weight_bytes: of each weight. dtype: of the KV
    cache.
    """
    check_number("bytes_per_s", bytes_per_s, "what the memory reads in a second", above=0, instead=4e12)
    check_number("flops_per_s", flops_per_s, "what the machine computes in a second", above=0, instead=6e14)
    num_parameters = count_parameters(shape)
    attended = 4 * shape.num_layers * shape.num_heads * shape.head_dim  # flops of a pair: q·k and p·v, 2 each
    return CostModel(
        per_step=launch_s + num_parameters * weight_bytes / bytes_per_s,
        per_token=2 * num_parameters / flops_per_s,
        per_kv_token=kv_bytes_per_token(shape, dtype) / bytes_per_s,
        per_pair=attended / flops_per_s,
    )


def count_parameters(shape):
    """Weights that every token is multiplied with: those of the layers and of the output head, not the embedding.

    Of a ModelShape only the number of all parameters is known; that is taken.
    """
    if not hasattr(shape, "hidden_size"):
        return shape.num_parameters
    width, heads = shape.hidden_size, (2 * shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim
    return shape.num_layers * width * (heads + 3 * shape.intermediate_size) + shape.vocab_size * width
