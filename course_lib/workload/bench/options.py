"""What `course bench` was told: held to what is possible before anything is loaded, served or written."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from course_lib.engine.settings import read_engine_config
from course_lib.engine.summary import Targets
from course_lib.errors import ParameterError

from ..arrivals import AtOnce, ClosedLoop, Gamma, Trace
from ..checks import check_number, check_whole
from ..conversations import Conversations
from ..length_sets import LENGTH_SETS
from ..lengths import Fixed, Lengths, RecordedLengths, Uniform
from ..prefixes import SharedPrefixes
from ..workload import Workload
from .cost_file import read_cost
from .parsing import check_url, naming, parse_client, parse_sweep
from .together import check_together

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
    turns: str | None = None
    """Requests of one conversation: "3", or "1:6" for anything between."""
    client: tuple = ()
    """("web:rate=3,lengths=chat", ...): several clients, each with options of its own in the place of the others."""
    priority: int = 0
    rates: str | None = None
    """A sweep: "1,2,4,8", a run for each."""
    mode: tuple = ()
    """Of continuous, static and dynamic, a run for each. Empty: continuous."""
    batch_size: int | None = None
    batch_timeout: float | None = None
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
        check_together(self)
        for name, least in (("vocab_size", 4), ("context", 2), ("batch_size", 1)):
            if getattr(self, name) is not None:
                check_whole(f"--{name.replace('_', '-')}", getattr(self, name), "a number of tokens or requests",
                            at_least=least, instead=8 if name == "batch_size" else 2048)  # fmt: skip
        if self.rate is not None and self.rate != math.inf:
            check_number("--rate", self.rate, "how many requests arrive a second", above=0, instead="4, or inf")
        if self.batch_timeout is not None:
            check_number("--batch-timeout", self.batch_timeout, "seconds", at_least=0, instead=0.05)
        self.targets(), self.workloads(), self.engine_config(), self.base_url(), self.cost_model(), self.variants()

    def variants(self):
        """[(name, BenchOptions)] of the runs: one, or one for each mode and each rate of a sweep."""
        found = [("", self)]
        if len(self.mode) > 1:
            found = [(mode, replace(self, mode=(mode,), **self._only_of(mode))) for mode in self.mode]
        if self.rates is not None:
            found = [
                (f"{name} {rate:g}/s".strip(), replace(one, rate=rate, rates=None))
                for name, one in found
                for rate in parse_sweep(self.rates)
            ]
        return found

    def _only_of(self, mode):
        """What the others of several modes are told, and this one is not."""
        batch = {"batch_size": self.batch_size if mode != "continuous" else None}
        batch["batch_timeout"] = self.batch_timeout if mode == "dynamic" else None
        return batch | {"engine": self.engine if mode == "continuous" else ()}

    @property
    def kind(self):
        """engine | simulator | server | static | dynamic"""
        if self.url or self.simulate:
            return "server" if self.url else "simulator"
        return "engine" if self.mode in ((), ("continuous",)) else self.mode[0]

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
        return read_engine_config(self.engine, seed=self.seed)

    def cost_model(self):
        """The CostModel of --cost, or None."""
        return None if self.cost is None else read_cost(self.cost)

    def base_url(self):
        """The address up to /v1, or None."""
        return None if self.url is None else check_url(self.url)

    def workloads(self, **limits):
        """The Workloads, one for each client. limits: as of `workload`."""
        if not self.client:
            return [self.workload(**limits)]
        return [one.workload(client=name, **limits) for name, one in self.clients()]

    def clients(self):
        """[(name, BenchOptions)] of --client: what a client does not say is as for all."""
        found = []
        for text in self.client:
            name, given = parse_client(text, [name for name, _ in found])
            if "users" in given or "rate" in given:
                given = {"rate": None, "users": None} | given
            with naming(f"--client {name}"):
                found.append((name, replace(self, client=(), rates=None, **given)))
        return found

    def workload(self, *, context=None, vocab_size=None, client="default"):
        """The Workload of one client. context, vocab_size: of the model that serves it; None: the options say it."""
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
        conversations = self._conversations()
        return Workload(
            arrivals, lengths, num_requests=count, duration=self.duration,
            vocab_size=vocab_size or self.vocab_size or ANY_VOCABULARY, context=min(limits, default=None),
            prefixes=prefixes, conversations=conversations, client=client, priority=self.priority, seed=self.seed,
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

    def _conversations(self):
        if self.turns is None:
            return None
        low, colon, high = self.turns.partition(":")
        if not low.isdecimal() or colon and not high.isdecimal():
            raise ParameterError(f"--turns is {self.turns!r}, but it is a number of turns, or LOW:HIGH. Try 1:6.")
        with naming("--turns"):
            turns = Uniform(int(low), int(high)) if colon else Fixed(int(low))
        return Conversations(turns, 0.0 if self.think_time is None else self.think_time)

    def _prefixes(self):
        if self.prefix_tokens is None:
            return None
        more = {"count": self.num_prefixes, "share": self.prefix_share}
        return SharedPrefixes(self.prefix_tokens, **{name: value for name, value in more.items() if value is not None})

    @property
    def num_expected(self):
        """About how many requests there will be; None: nobody knows."""
        if self.client:
            expected = [one.num_expected for _, one in self.clients()]
            return None if None in expected else sum(expected)
        if self.turns is not None:
            return None
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
            if value is not None and value is not False and value != () and (name, value) != ("priority", 0)
        }
        return {name: "inf" if value == math.inf else value for name, value in given.items()}
