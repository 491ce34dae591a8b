"""When requests arrive: in an open loop, in a closed loop, or as recorded. Times are in seconds from the start.

Open loop: requests come by themselves, however busy the server is, like the users of a website. If the server is too
slow, the queue grows without end. Closed loop: a fixed number of users, each of whom waits for the output before the
next request. If the server is slow, fewer requests come, so a closed loop never shows an overloaded server.

`vllm bench serve` has the same processes: --request-rate and --burstiness are Gamma, --max-concurrency with an infinite
rate is ClosedLoop without think time. One difference: vLLM stretches the arrival times so that the last one of n is at
n / rate exactly. Here they are as drawn, so that they can be drawn one by one without knowing how many there will be.
"""

import math
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from course_lib.errors import ParameterError

from .checks import check_number, check_whole
from .rows import read_rows

AT_ONCE = 1024  # random numbers that are drawn together, which is quicker


@dataclass(frozen=True)
class Gamma:
    """Open loop: `rate` requests a second on average, with gaps from a gamma distribution of shape `burstiness`.

    burstiness 1 is a Poisson process. Below 1 requests come in bursts, above 1 more evenly; math.inf is one request
    every 1 / rate seconds. The coefficient of variation of the gaps is 1 / sqrt(burstiness). As in vLLM.
    """

    rate: float
    burstiness: float = 1.0

    def __post_init__(self):
        check_number("rate", self.rate, "how many requests arrive a second", above=0, instead="1.0, or AtOnce()")
        if self.burstiness != math.inf:
            check_number("burstiness", self.burstiness, "the shape of a gamma distribution", above=0, instead=1.0)

    def times(self, generator):
        """Arrival times, without end, by a numpy Generator. The first is one gap after the start."""
        now = 0.0
        if self.burstiness == math.inf:
            number = 0
            while True:
                number += 1
                yield number / self.rate
        while True:
            for gap in generator.gamma(self.burstiness, 1 / (self.rate * self.burstiness), AT_ONCE).tolist():
                now += gap
                yield now


@dataclass(frozen=True)
class Poisson:
    """Open loop: `rate` requests a second on average, independent of each other. Each gap is exponential."""

    rate: float

    def __post_init__(self):
        Gamma(self.rate)

    def times(self, generator):
        """Arrival times, without end, by a numpy Generator."""
        return Gamma(self.rate).times(generator)


@dataclass(frozen=True)
class AtOnce:
    """All requests arrive at the start: the infinite rate of vLLM. It measures throughput; latencies mean little."""

    def times(self, generator):
        """Zeros, without end."""
        return repeat(0.0)


@dataclass(frozen=True)
class ClosedLoop:
    """A number of users. Each sends a request, waits for its output, thinks, and sends the next one."""

    users: int
    think_time: float = 0.0
    """Mean seconds from an output to the next request of this user, drawn from an exponential distribution. With 0,
    all users begin at the start; otherwise each begins after a first pause.
    """

    def __post_init__(self):
        check_whole("users", self.users, "how many users there are", instead=8)
        check_number("think_time", self.think_time, "a mean time in seconds", at_least=0, instead=0.0)


class Trace:
    """Arrivals as somebody recorded them: times and lengths, one request a row.

    path: CSV with a header or JSON Lines, with `arrival` (seconds, which never fall), `prompt_tokens`, `output_tokens`
    and, if wanted, `client`. speed: 2.0 plays it twice as fast. The file is checked once and read again, line by line,
    for each run. Raises ParameterError, with the line, for a bad row or a file without rows.
    """

    REQUIRED = {"arrival": float, "prompt_tokens": int, "output_tokens": int}
    OPTIONAL = {"client": str}

    def __init__(self, path, *, speed=1.0):
        self.path = Path(path)
        self.speed = check_number("speed", speed, "how many times as fast the trace is played", above=0, instead=1.0)
        last, self.num_rows = 0.0, 0
        for line, row in read_rows(self.path, self.REQUIRED, self.OPTIONAL):
            if row["arrival"] < last:
                raise ParameterError(
                    f"{self.path}, line {line}: arrival is {row['arrival']:g}, after {last:g} in the row before. "
                    f"Requests are played in the order of the file; sort it by arrival."
                )
            last, self.num_rows = row["arrival"], self.num_rows + 1
        if not self.num_rows:
            raise ParameterError(f"{self.path} has no rows, so nothing would arrive. Each row is one request.")

    def rows(self):
        """(seconds, prompt tokens, output tokens, client or None) of each request."""
        for _, row in read_rows(self.path, self.REQUIRED, self.OPTIONAL):
            yield row["arrival"] / self.speed, row["prompt_tokens"], row["output_tokens"], row.get("client")

    def __repr__(self):
        return f"Trace({str(self.path)!r}: {self.num_rows} requests, speed {self.speed:g})"
