"""Prompts that begin with the same tokens: system prompts, few-shot examples, one long document for many questions."""

from dataclasses import dataclass

from .checks import check_number, check_whole


@dataclass(frozen=True)
class SharedPrefixes:
    """A share of the requests begins with one of `count` prefixes of `num_tokens` tokens each, before its own prompt.

    All of a prefix is the same for all requests of one workload. As vLLM's `prefix_repetition` data set.
    """

    num_tokens: int
    count: int = 1
    share: float = 1.0
    """Of the requests that have a prefix; the others have none."""

    def __post_init__(self):
        check_whole("num_tokens", self.num_tokens, "the length of a prefix in tokens", instead=256)
        check_whole("count", self.count, "how many different prefixes there are", instead=1)
        check_number("share", self.share, "a share of the requests", at_least=0, at_most=1, instead=1.0)

    def choose(self, generator):
        """The number of the prefix of one request, or None, by a numpy Generator."""
        has_one, which = generator.random() < self.share, int(generator.integers(self.count))
        return which if has_one else None
