"""What `course bench` was told: held to what is possible before anything is loaded, served or written."""

import json
import math
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from course_lib.engine.config import EngineConfig
from course_lib.engine.summary import Targets
from course_lib.errors import ParameterError

from ..arrivals import AtOnce, ClosedLoop, Gamma, Trace
from ..checks import check_number, check_whole
from ..length_sets import LENGTH_SETS
from ..lengths import Fixed, Lengths, RecordedLengths
from ..prefixes import SharedPrefixes
from ..workload import Workload
from .cost_file import read_cost

DEFAULT_RATE = 4.0
DEFAULT_REQUESTS = 100
SMALL_SCALE = 0.125
"""What the named length sets are multiplied by for the course's small models."""
ANY_VOCABULARY = 2560
"""Ids below are in every usual vocabulary, so any server can be asked for them."""


@dataclass(frozen=True)
class BenchOptions:
    """One field for each option of the command; None where it was not given.

    Raises ParameterError, in one line, for what cannot be or does not go together.
    """

    simulate: bool = False
    url: str | None = None
    model: str | None = None
    lengths: str | None = None
    """A name of LENGTH_SETS, PROMPT:OUTPUT in tokens, or a file for RecordedLengths."""
    scale: float | None = None
    trace: str | None = None
    rate: float | None = None
    """Requests a second; math.inf: all at once."""
    burstiness: float | None = None
    users: int | None = None
    think_time: float | None = None
    num_requests: int | None = None
    duration: float | None = None
    prefix_tokens: int | None = None
    num_prefixes: int | None = None
    prefix_share: float | None = None
    seed: int = 0
    goodput: tuple = ()
    """("ttft:200", ...), in milliseconds."""
    engine: tuple = ()
    """("max_num_seqs=32", ...), fields of EngineConfig."""
    cost: str | None = None
    """A JSON file with the costs of a CostModel, or one that the command wrote in a simulated run."""
    vocab_size: int | None = None
    context: int | None = None

    def __post_init__(self):
        self._check_together()
        for name, least in (("vocab_size", 4), ("context", 2)):
            if getattr(self, name) is not None:
                check_whole(f"--{name.replace('_', '-')}", getattr(self, name), "a number of tokens", at_least=least,
                            instead=2048)  # fmt: skip
        if self.rate is not None and self.rate != math.inf:
            check_number("--rate", self.rate, "how many requests arrive a second", above=0, instead="4, or inf")
        self.targets(), self.workload(), self.engine_config(), self.base_url(), self.cost_model()

    def _check_together(self):
        sets_engine, is_open = bool(self.engine), self.users is None and self.trace is None
        for wrong, what in (
            (self.simulate and self.url, "--simulate and --url are two things to measure. Give one of them."),
            (self.url and sets_engine, "--engine sets up the course's engine; a server behind --url has its own "
             "settings. Leave one of the two."),
            (self.cost and not self.simulate, "--cost is for the simulator. Add --simulate, or leave it."),
            (self.vocab_size and not self.url, "--vocab-size is for a server behind --url; a model says its own."),
            (self.rate is not None and self.users is not None, "--rate is an open loop and --users is a closed one. "
             "Give one of them."),
            (self.trace and (self.rate is not None or self.users is not None), "--trace says when requests arrive, so "
             "it goes with neither --rate nor --users."),
            (self.trace and (self.lengths or self.scale is not None), "--trace brings its own lengths. Leave --lengths "
             "and --scale."),
            (self.burstiness is not None and not is_open, "--burstiness is for --rate only."),
            (self.burstiness is not None and self.rate == math.inf, "--burstiness says nothing where all requests "
             "arrive at once (--rate inf). Leave it, or give a finite rate."),
            (self.think_time is not None and self.users is None, "--think-time is for --users only."),
            (self.prefix_tokens is None and (self.num_prefixes is not None or self.prefix_share is not None),
             "--num-prefixes and --prefix-share say more about --prefix-tokens. Give that too."),
            (self.duration is not None and self.num_requests is None and self.rate == math.inf,
             "--rate inf brings requests without end at the start. Give --num-requests."),
        ):  # fmt: skip
            if wrong:
                raise ParameterError(what)

    @property
    def kind(self):
        """engine | simulator | server"""
        return "server" if self.url else "simulator" if self.simulate else "engine"

    def targets(self):
        """Targets for goodput, or None."""
        found = {}
        for text in self.goodput:
            name, colon, value = text.partition(":")
            try:
                limit = float(value)
            except ValueError:
                limit = math.nan
            if not colon or name not in ("ttft", "tpot", "e2el") or not 0 < limit < math.inf or name in found:
                raise ParameterError(
                    f"--goodput is {text!r}, but it is ttft, tpot or e2el, a colon and milliseconds above 0, each name "
                    f"once. Try ttft:200."
                )
            found[name] = limit / 1e3
        return Targets(**found) if found else None

    def engine_config(self):
        """The EngineConfig of --engine. The seed is that of the workload."""
        known = [field.name for field in fields(EngineConfig)]
        found = {"seed": self.seed}
        for text in self.engine:
            name, equals, value = text.partition("=")
            if not equals or name not in known:
                raise ParameterError(f"--engine is {text!r}, but it is NAME=VALUE; the names are {', '.join(known)}.")
            found[name] = _value(value)
        return EngineConfig(**found)

    def cost_model(self):
        """The CostModel of --cost, or None."""
        return None if self.cost is None else read_cost(self.cost)

    def base_url(self):
        """The address up to /v1, or None."""
        return None if self.url is None else check_url(self.url)

    def workload(self, *, context=None, vocab_size=None):
        """The Workload. context, vocab_size: of the model that serves it; None where the options say it."""
        limits = [limit for limit in (context, self.context) if limit is not None]
        count = self.num_requests
        if count is None and self.duration is None and self.trace is None:
            count = DEFAULT_REQUESTS
        if self.duration is not None:
            check_number("--duration", self.duration, "seconds in which requests arrive", above=0, instead=60.0)
        with naming("--trace" if self.trace else "arrivals"):
            arrivals = self._arrivals()
        with naming("--lengths"):
            lengths = None if self.trace else self._lengths()
        with naming("--prefix"):
            prefixes = self._prefixes()
        return Workload(
            arrivals, lengths, num_requests=count, duration=self.duration,
            vocab_size=vocab_size or self.vocab_size or ANY_VOCABULARY, context=min(limits, default=None),
            prefixes=prefixes, seed=self.seed,
        )  # fmt: skip

    def _arrivals(self):
        if self.trace is not None:
            return Trace(self.trace)
        if self.users is not None:
            return ClosedLoop(self.users, self.think_time or 0.0)
        if self.rate == math.inf:
            return AtOnce()
        burstiness = 1.0 if self.burstiness is None else self.burstiness
        return Gamma(DEFAULT_RATE if self.rate is None else self.rate, burstiness)

    def _lengths(self):
        text = "chat" if self.lengths is None else self.lengths
        if text in LENGTH_SETS:
            default = 1.0 if self.url else SMALL_SCALE
            return LENGTH_SETS[text].scaled(default if self.scale is None else self.scale)
        if self.scale is not None:
            raise ParameterError(f"--scale is for the named sets of lengths ({', '.join(LENGTH_SETS)}). Leave it.")
        prompt, colon, output = text.partition(":")
        if colon and prompt.isdecimal() and output.isdecimal():
            return Lengths(Fixed(int(prompt)), Fixed(int(output)))
        if Path(text).is_file():
            return RecordedLengths(text)
        raise ParameterError(
            f"--lengths is {text!r}, but it is {', '.join(LENGTH_SETS)}, PROMPT:OUTPUT such as 256:64, or a file that "
            f"exists."
        )

    def _prefixes(self):
        if self.prefix_tokens is None:
            return None
        more = {"count": self.num_prefixes, "share": self.prefix_share}
        return SharedPrefixes(self.prefix_tokens, **{name: value for name, value in more.items() if value is not None})

    @property
    def num_expected(self):
        """About how many requests there will be; None: nobody knows."""
        if self.num_requests is not None or self.duration is None and self.trace is None:
            return self.num_requests or DEFAULT_REQUESTS
        if self.trace is not None:
            return Trace(self.trace).num_rows
        return None if self.users is not None else round((self.rate or DEFAULT_RATE) * self.duration)

    def as_dict(self):
        """The options that were given, and the seed: with them the run can be repeated."""
        given = {
            name: value
            for name, value in asdict(self).items()
            if value is not None and value is not False and value != ()
        }
        return {name: "inf" if value == math.inf else value for name, value in given.items()}


@contextmanager
def naming(option):
    """Puts the option before the message of a ParameterError that does not name it."""
    try:
        yield
    except ParameterError as error:
        raise error if str(error).startswith("--") else ParameterError(f"{option}: {error}") from None


def _value(text):
    """A value of --engine: a number, true, false, none, or the text itself."""
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def check_url(url):
    """The address up to /v1. Raises ParameterError for what is none."""
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_right = False
    if not is_right or parts.query or parts.fragment:
        raise ParameterError(f"--url is {url!r}, but it is the address of a server. Try http://localhost:8000.")
    if parts.username or parts.password:
        raise ParameterError("--url holds a password, which would be saved. Put a key into OPENAI_API_KEY instead.")
    return f"{url.rstrip('/').removesuffix('/v1')}/v1"
