"""How long one step of an engine takes, from what it computes and reads: the cost model of the simulator.

    seconds = per_step                      launching the kernels, and reading the weights once
            + per_batch                     with more than one token: products with a matrix, not with a vector
            + per_narrow   * tokens, `narrow` at most    products with few rows, which use a processor badly
            + per_sequence * sequences      what is done for each sequence: its choice of a token, its row of arrays
            + per_token    * tokens         products of each token with the weights, beyond the first `ridge` tokens
            + per_kv_token * KV tokens      reading the keys and values of each sequence, as long as it is
            + per_pair     * pairs          attention inside a prompt: pairs of a query and a key
            + per_prompt                    on a GPU, with a prompt in it: another captured step, with other padding
            + per_longest  * part           a GPU reads parts of sequences side by side, and waits for the longest

This is a roofline, with a sum in the place of the maximum: kernels run one after the other, and each is limited by
memory or by arithmetic. So a step is as long as all of them together. Only within one kernel the longer of the two
counts: a product multiplies while it reads the weights, so on a GPU the first tokens of a step, `ridge`, are multiplied
in the time that reading takes, which is in per_step. Source: the roofline model (Williams et al.,
CACM 2009); for serving, Vidur (arXiv 2405.05465).
"""

from dataclasses import dataclass
from typing import NamedTuple

from course_lib.errors import ParameterError
from course_lib.kvcache.sizes import kv_bytes_per_token

from .checks import check_number, check_whole

NARROW = 8
"""Rows of a matrix from which on a product uses all of a processor: as many as its vectors have float32 numbers. On an
H200 a product of 24 rows takes little longer than one of 16, and one of 8 longer than one of 1."""


KNOWN = ("width", "narrow", "ridge")
"""Fields of a CostModel that are no seconds: what is known of the machine."""


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
    longest: int = 0
    """Keys of the sequence that has most."""


def work_of(step):
    """The StepWork of an engine's Step, or of a list of its ScheduledSequences. Drafted tokens count as any others."""
    scheduled = getattr(step, "scheduled", step)
    num_tokens = kv_tokens = num_pairs = longest = 0
    for sequence in scheduled:
        start, n = sequence.start, sequence.num_tokens
        num_tokens += n
        kv_tokens += start + n
        longest = max(longest, start + n)
        if n > 1:
            num_pairs += n * start + n * (n + 1) // 2
    return StepWork(num_tokens, len(scheduled), kv_tokens, num_pairs, longest)


@dataclass(frozen=True)
class CostModel:
    """Seconds of each part of a step. All are at least 0. And what is known of the machine:

    narrow: rows of a matrix from which on a product uses all of it. width: 1 for a CPU; for a GPU, how many parts of
    sequences it reads side by side, so that each of n sequences is read in `parts(width, n)` parts. On an H200
    attention has 660 programs at a time, and 8 KV heads leave 82 parts. ridge: tokens whose products take no longer
    than reading the weights; in bfloat16 about 120 on an H200 (benchmarks/lesson15.py). 0: each token takes time.
    """

    per_step: float = 0.0
    per_batch: float = 0.0
    """Only in steps with more than one token, which take other kernels than a single one."""
    per_narrow: float = 0.0
    """Of each of the first `narrow` tokens. On a CPU 8 tokens take much longer than 1, and 16 little longer than 8."""
    per_sequence: float = 0.0
    per_token: float = 0.0
    per_kv_token: float = 0.0
    per_pair: float = 0.0
    per_prompt: float = 0.0
    """Only in steps in which a sequence has more than one token."""
    per_longest: float = 0.0
    width: int = 1
    narrow: int = NARROW
    ridge: int = 0

    def __post_init__(self):
        check_whole("width", self.width, "how many parts of sequences are read side by side", instead=1)
        check_whole("narrow", self.narrow, "how many rows of a product use all of the machine", instead=NARROW)
        check_whole("ridge", self.ridge, "tokens that are multiplied while weights are read", at_least=0, instead=0)
        costs = {name: value for name, value in vars(self).items() if name not in KNOWN}
        for name, value in costs.items():
            check_number(name, value, "a time in seconds", at_least=0, instead=0.0)
        if not any(costs.values()):
            raise ParameterError("All costs are 0, so every request would be served at once. Calibrate, or give some.")

    def seconds(self, num_tokens, num_sequences, kv_tokens, num_pairs, longest=0):
        """Seconds of a step. kv_tokens and longest may be arrays: those of each of many steps that are else alike."""
        same = self.per_step + (self.per_batch if num_tokens > 1 else 0.0)
        same += self.per_narrow * min(num_tokens, self.narrow) + (self.per_prompt if num_pairs else 0.0)
        same += self.per_sequence * num_sequences + self.per_token * max(0, num_tokens - self.ridge)
        same = same + self.per_pair * num_pairs + self.per_kv_token * kv_tokens
        return same + self.per_longest * longest / parts(self.width, num_sequences) if self.per_longest else same


def parts(width, num_sequences):
    """In how many parts each of so many sequences is read. More than 8 are padded to a multiple of 8 (graphs.py)."""
    return max(1, width // (num_sequences if num_sequences <= 8 else -(-num_sequences // 8) * 8))


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
