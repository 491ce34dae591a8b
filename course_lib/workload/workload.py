"""A workload: who asks what, how long it is, and when it comes. All of it follows from the seed.

    workload = Workload(Poisson(rate=4.0), LENGTH_SETS["chat"], num_requests=1000, vocab_size=2560, seed=0)
    feed = Feed(workload)
    while (arrival := feed.pop()) is not None: ...

Nothing is made before it is needed: a million requests take no more memory than those that are being served. Request
number k has the same lengths and the same tokens whatever the arrival process, so two rates can be compared on the same
requests.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np

from course_lib.errors import ParameterError

from .arrivals import ClosedLoop, Trace
from .checks import check_number, check_whole
from .conversations import Conversation, Conversations
from .prefixes import SharedPrefixes

FIRST_TOKEN_ID = 3  # prompts hold no ids below: those are often special tokens


@dataclass(slots=True)
class Arrival:
    """One request of a workload, and when it comes."""

    at: float
    """Seconds from the start."""
    token_ids: list
    """The prompt."""
    max_tokens: int
    """Tokens of its output. To get so many, serve it with ignore_eos=True."""
    client: str = "default"
    priority: int = 0
    number: int = 0
    """Which request of its workload, or which conversation, from 0."""
    turn: int = 0
    """Which request of its conversation, from 0."""
    workload: object = None
    conversation: Conversation | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Workload:
    """What one client does. Several clients are several workloads, in one Feed."""

    arrivals: object
    """Poisson, Gamma, AtOnce, ClosedLoop or Trace."""
    lengths: object = None
    """Lengths, RecordedLengths or an entry of LENGTH_SETS. With a Trace: None."""
    num_requests: int | None = None
    """After so many no more begin; with conversations, so many conversations. None: a trace ends by itself, and all
    else at `duration`.
    """
    duration: float | None = None
    """Seconds after which no request arrives any more."""
    vocab_size: int = 2560
    """Prompts hold random ids from 3 to vocab_size - 1. The default is that of `tale`."""
    context: int | None = None
    """Most tokens of prompt and output together. What is longer is cut, the prompt first to leave one token for the
    output; a conversation ends before the turn that would be longer. None: no limit.
    """
    prefixes: SharedPrefixes | None = None
    conversations: Conversations | None = None
    client: str = "default"
    priority: int = 0
    seed: int = 0

    def __post_init__(self):
        is_trace = isinstance(self.arrivals, Trace)
        if not is_trace and not isinstance(self.arrivals, ClosedLoop) and not hasattr(self.arrivals, "times"):
            raise ParameterError(
                f"arrivals is {self.arrivals!r}, but it says when requests come. Pass Poisson(rate=2.0), for example."
            )
        if is_trace != (self.lengths is None):
            raise ParameterError(
                "A trace brings its own lengths. Leave `lengths` out."
                if is_trace
                else "lengths is missing. Pass LENGTH_SETS['chat'], for example."
            )
        if not is_trace and not hasattr(self.lengths, "draw"):
            raise ParameterError(
                f"lengths is {self.lengths!r}, but it draws pairs of lengths. Pass LENGTH_SETS['chat'], for example, "
                f"or Lengths(prompt=Uniform(16, 64), output=Fixed(32))."
            )
        if is_trace and self.conversations is not None:
            raise ParameterError("A trace says of each request when it comes, so it has no conversations. Leave one.")
        if not is_trace and self.num_requests is None and self.duration is None:
            raise ParameterError("This workload would never end. Give num_requests, or duration in seconds.")
        if self.num_requests is not None:
            check_whole("num_requests", self.num_requests, "how many requests there are", instead=100)
        if self.duration is not None:
            check_number("duration", self.duration, "a time in seconds", above=0, instead=60.0)
        if self.context is not None:
            check_whole("context", self.context, "how many tokens a request can have", at_least=2, instead=2048)
        check_whole("vocab_size", self.vocab_size, "how many token ids there are", at_least=FIRST_TOKEN_ID + 1,
                    instead=2560)  # fmt: skip
        check_whole("seed", self.seed, "the start of random numbers", at_least=0, instead=0)

    def generator(self, stream):
        """The random numbers of one stream: -1 for the arrival times, -2 - n for prefix n, k for request k."""
        return np.random.Generator(np.random.Philox(key=self._key(stream)))

    def rewind(self, generator, stream):
        """The same generator, as if it were generator(stream): quicker than a new one, where the old is not needed."""
        bits = generator.bit_generator
        bits.state = bits.state | {
            "state": {"key": self._key(stream), "counter": np.zeros(4, dtype=np.uint64)}, "buffer_pos": 4,
            "has_uint32": 0, "uinteger": 0,
        }  # fmt: skip
        return generator

    def _key(self, stream):
        own = (self.seed << 32) + zlib.crc32(str(self.client).encode())
        return np.array([own % 2**64, stream % 2**64], dtype=np.uint64)

    def prefix(self, number):
        """The token ids of shared prefix `number`."""
        return self.tokens(self.generator(-2 - number), self.prefixes.num_tokens)

    def tokens(self, generator, n):
        """n random token ids."""
        return generator.integers(FIRST_TOKEN_ID, self.vocab_size, n).tolist()
