"""Which part of each weight a rank holds: tensor parallelism as arithmetic on names and numbers.

    weight                     cut                    what a rank computes with it
    embed_tokens               rows: token ids        the vectors of its own tokens (summed: the others bring zeros)
    lm_head                    rows: token ids        the logits of its own tokens (gathered)
    q_proj, k_proj, v_proj     rows: whole heads      its own heads
    o_proj                     columns: its heads     a part of every output number (summed)
    gate_proj, up_proj         rows                   its own numbers of the inner layer
    down_proj                  columns                a part of every output number (summed)
    norms                      not cut                the same on every rank

Rows first, then columns: between the two products nothing has to be sent. So a layer needs two sums over the ranks.
Source: Megatron-LM (arXiv 1909.08053).
"""

import math
import re
from dataclasses import dataclass, replace

from course_lib.errors import ParameterError

EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"
CUT = {
    "q_proj": "query rows", "k_proj": "kv rows", "v_proj": "kv rows", "o_proj": "query columns", "gate_proj":
    "inner rows", "up_proj": "inner rows", "down_proj": "inner columns", "embed_tokens": "vocabulary rows", "lm_head":
    "vocabulary rows",
}  # fmt: skip
_NAME = re.compile(rf"(?:.*\.)?({'|'.join(CUT)})\.(weight|bias)")


@dataclass(frozen=True)
class Shard:
    """The part of rank `rank` of `size` of a model. config: the ModelConfig of the whole model.

    Raises ParameterError where the query heads cannot be divided by `size`.
    """

    config: object
    rank: int
    size: int

    def __post_init__(self):
        if self.config.num_heads % self.size:
            fitting = [n for n in range(1, self.config.num_heads + 1) if self.config.num_heads % n == 0]
            raise ParameterError(
                f"tensor_parallel={self.size} cannot share out the {self.config.num_heads} query heads of this model "
                f"evenly: each process takes as many whole heads. Choose one of {', '.join(map(str, fitting))}."
            )

    @property
    def query_heads(self):
        """The numbers of its query heads, a range."""
        each = self.config.num_heads // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    @property
    def kv_heads(self):
        """The numbers of its KV heads, a list: local query head i reads local KV head i // local_group.

        Where there are fewer KV heads than ranks, several ranks hold the same one, as in vLLM. Where a group of query
        heads is cut unevenly, such as 4 KV heads over 3 ranks, a rank may even hold one twice.
        """
        group = self.config.num_heads // self.config.num_kv_heads
        return [head // group for head in self.query_heads[:: self.local_group]]

    @property
    def local_group(self):
        """Query heads of this rank that share a KV head: as many as divide both its heads and a whole group."""
        return math.gcd(len(self.query_heads), self.config.num_heads // self.config.num_kv_heads)

    @property
    def inner(self):
        """Its numbers of the feed-forward network's inner layer, a range; ranges differ in length by at most 1."""
        n = self.config.intermediate_size
        return range(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    @property
    def vocabulary_rows(self):
        """Rows of the embedding and of the LM head on each rank. Those of the last ranks may be padding: zeros."""
        return -(-self.config.vocab_size // self.size)

    @property
    def token_ids(self):
        """The token ids whose rows it holds, a range."""
        start, most = self.rank * self.vocabulary_rows, self.config.vocab_size
        return range(min(start, most), min(start + self.vocabulary_rows, most))

    def local_config(self):
        """The ModelConfig of what a rank computes: its own heads and inner numbers, the whole vocabulary."""
        return replace(
            self.config, num_heads=len(self.query_heads), num_kv_heads=len(self.kv_heads),
            intermediate_size=len(self.inner),
        )  # fmt: skip

    def pieces(self, name):
        """(dimension, [(start, stop), ...]) of the parameter `name` of the whole model that this rank holds; None for
        all of it. The pieces stand one after the other in its own parameter.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        what, is_bias = CUT[found[1]], found[2] == "bias"
        if is_bias and what.endswith("columns"):
            return None  # it is added once, see `holds`
        heads = {"query": self.query_heads, "kv": self.kv_heads}.get(what.split()[0])
        if heads is not None:
            d = self.config.head_dim
            pieces = [(head * d, (head + 1) * d) for head in heads]
        else:
            numbers = self.inner if what.startswith("inner") else self.token_ids
            pieces = [(numbers.start, numbers.stop)]
        return int(what.endswith("columns")), joined(pieces)

    def holds(self, name):
        """False for a bias that is added to a sum over the ranks: rank 0 alone adds it, the others hold zeros."""
        found = _NAME.fullmatch(name)
        return not (found and found[2] == "bias" and CUT[found[1]].endswith("columns") and self.rank)


def joined(pieces):
    """The pieces, with those that follow one another as one."""
    made = []
    for start, stop in pieces:
        if made and made[-1][1] == start:
            made[-1] = made[-1][0], stop
        else:
            made.append((start, stop))
    return made
