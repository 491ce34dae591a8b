"""The points of a roofline: where each lies, and in words."""

import math
from dataclasses import dataclass

from course_lib.errors import ParameterError
from course_lib.viz.kit.inputs import some

PREFIXES = ("", "k", "M", "G", "T", "P")


@dataclass(frozen=True)
class Point:
    """intensity: operations for each byte; flops_per_s: measured, or the most that the machine could do."""

    name: str
    intensity: float
    flops_per_s: float
    measured: bool


@dataclass(frozen=True)
class Machine:
    """Its two peaks. ridge: the intensity at which both are reached."""

    name: str
    flops_per_s: float
    bytes_per_s: float

    @property
    def ridge(self):
        return self.flops_per_s / self.bytes_per_s


def placed(points, machine):
    """A list of Point. Raises ParameterError for numbers that are not positive."""
    for name in ("flops_per_s", "bytes_per_s"):
        _positive(name, getattr(machine, name))
    return [_point(index, tuple(point), machine) for index, point in enumerate(some("points", points))]


def words(points, machine):
    """The picture in words."""
    peaks = f"{readable(machine.flops_per_s)}FLOP/s and {readable(machine.bytes_per_s)}B/s"
    said = [f"Roofline of {machine.name}: {peaks}, which meet at {machine.ridge:,.0f} operations a byte."]
    for point in points:
        limit = "memory" if point.intensity < machine.ridge else "arithmetic"
        how = "measured at" if point.measured else "at most"
        reached = f"{point.intensity:,.1f} operations a byte, {how} {readable(point.flops_per_s)}FLOP/s"
        said.append(f"{point.name}: {reached}; {limit} is the limit.")
    return " ".join(said)


def readable(value):
    """680e12 as "680 T": three digits and a decimal prefix, the unit follows."""
    power = max(0, min(5, int(math.floor(math.log10(value) / 3)))) if value >= 1 else 0
    scaled = value / 1000**power
    return f"{scaled:.3g} {PREFIXES[power]}" if scaled < 999.5 else f"{scaled:,.0f} {PREFIXES[power]}"


def _point(index, point, machine):
    if len(point) not in (3, 4) or not isinstance(point[0], str):
        raise ParameterError(
            f"points[{index}] is {point!r}; a point is (name, operations, bytes) or (name, operations, bytes, seconds)."
        )
    for what, value in zip(("operations", "bytes", "seconds"), point[1:]):
        _positive(f"{what} of {point[0]!r}", value)
    name, operations, moved = point[:3]
    roof = min(machine.flops_per_s, operations / moved * machine.bytes_per_s)
    measured = len(point) == 4
    return Point(name, operations / moved, operations / point[3] if measured else roof, measured)


def _positive(what, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ParameterError(
            f"{what} is {value!r}; it has to be a positive number, or there is no place for it on a logarithmic axis."
        )
