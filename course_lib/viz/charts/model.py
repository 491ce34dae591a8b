"""What a chart is given, checked: panels of series, with their units, intervals and reference lines."""

import math
from dataclasses import dataclass

from course_lib.errors import ParameterError
from course_lib.viz.kit.inputs import some

KINDS = ("lines", "points", "steps", "bars", "stacked", "limit")
BARS = ("bars", "stacked")
KEYS = ("x", "y", "low", "high", "labels", "kind", "mine")
MOST_SERIES, MOST_POINTS, MOST_PANELS = 12, 6_000, 4


@dataclass(frozen=True)
class Series:
    """x: numbers or names; y: numbers, None for a gap; low, high, labels: as long, or (); mine: the learner's own."""

    name: str
    x: tuple
    y: tuple
    low: tuple = ()
    high: tuple = ()
    labels: tuple = ()
    kind: str = "lines"
    mine: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes. reference: (name, "x" or "y", value) of each line across it."""

    title: str
    series: tuple
    x: str
    y: str
    x_unit: str
    y_unit: str
    log: str
    reference: tuple

    @property
    def names_on_x(self):
        """Whether the places on the x axis are names, not numbers."""
        return isinstance(self.series[0].x[0], str)

    def label(self, axis):
        """The words at an axis: "x" or "y"."""
        unit = getattr(self, f"{axis}_unit")
        return f"{getattr(self, axis)} ({unit})" if unit else getattr(self, axis)


def checked_panel(series, *, x, y, x_unit, y_unit, kind, log, reference, title):
    """A Panel; raises ParameterError that names the series and the place of what does not fit."""
    for name, text in {"x": x, "y": y, "x_unit": x_unit, "y_unit": y_unit, "title": title}.items():
        if not isinstance(text, str) or (name in "xy" and not text):
            raise ParameterError(f"{name} is {text!r}; it has to be a text, such as {name}='time'.")
    if log not in ("", "x", "y", "xy"):
        raise ParameterError(f"log is {log!r}; name the logarithmic axes: 'x', 'y', 'xy', or '' for none.")
    if not isinstance(series, dict):
        raise ParameterError(f"the series are {series!r}; give a dict such as {{'cached': (steps, seconds)}}.")
    found = tuple(_series(name, given, kind) for name, given in some("series", series.items()))
    for one in found:
        for axis in "xy":
            _fits_axis(one, axis, axis in log)
    _same_kind_of_x(found)
    return Panel(title, found, x, y, x_unit, y_unit, log, tuple(_reference(log, *one) for one in reference.items()))


def checked_panels(panels):
    """The panels as a list; raises ParameterError for too many panels, series or points."""
    panels = some("panels", panels)
    for one in panels:
        if not isinstance(one, Panel):
            raise ParameterError(f"{one!r} is no panel. Give a dict of series, or one panel(...) after the other.")
    points = sum(len(series.y) for one in panels for series in one.series)
    for what, number, most in (
        ("panels", len(panels), MOST_PANELS),
        ("series", len(names(panels)), MOST_SERIES),
        ("points", points, MOST_POINTS),
    ):
        if number > most:
            raise ParameterError(
                f"the chart has {number:,} {what}; at most {most:,} can be told apart, and the notebook keeps "
                f"them all. Leave some out, for example every second one."
            )
    if {"bars", "stacked"} <= {series.kind for one in panels for series in one.series}:
        raise ParameterError("one chart has bars side by side and bars on each other. Make two charts of it.")
    return panels


def names(panels):
    """The names of all series of a chart, each once. The place of a name is the number of its colour."""
    return list(dict.fromkeys(series.name for panel in panels for series in panel.series))


def colour_numbers(panels):
    """{name: number of its colour}. Limits are drawn like text and take none."""
    limits = {series.name for panel in panels for series in panel.series if series.kind == "limit"}
    return {name: number for number, name in enumerate(name for name in names(panels) if name not in limits)}


def number_text(value, unit=""):
    """A value as the chart prints it: 1234567 -> "1,234,567"; six significant digits of a fraction."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else f"{value:,.12g}" if abs(value) < 1e12 else f"{value:.6g}"
    return f"{text} {unit}" if unit else text


def rounded(value):
    """A number as a chart keeps it: fractions to six significant digits."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _series(name, given, kind):
    if not isinstance(name, str) or not name:
        raise ParameterError(f"{name!r} is no name of a series. Give a text; it stands in the legend.")
    if isinstance(given, (tuple, list)) and len(given) == 2:
        given = dict(zip("xy", given))
    if not isinstance(given, dict) or not {"x", "y"} <= set(given) <= set(KEYS):
        raise ParameterError(f"{name!r} needs x and y: a pair (x, y), or a dict with x, y and some of {KEYS[2:]}.")
    fields = {key: _values(f"{key} of {name!r}", given[key]) for key in KEYS[:5] if given.get(key) is not None}
    own = given.get("kind") or kind
    if own not in KINDS:
        raise ParameterError(f"the kind of {name!r} is {own!r}; a kind is one of {', '.join(KINDS)}.")
    if not fields["x"]:
        raise ParameterError(f"{name!r} has no points. Leave the series out, or give at least one.")
    for key, values in fields.items():
        if len(values) != len(fields["x"]):
            raise ParameterError(
                f"{name!r} has {len(fields['x'])} values of x and {len(values)} of {key}; there has to be one for each "
                "point."
            )
    if ("low" in fields) != ("high" in fields):
        raise ParameterError(f"{name!r} has one end of its intervals only. Give low and high, or neither.")
    if own in BARS:
        fields["x"] = tuple(number_text(value) for value in fields["x"])
    one = Series(name, kind=own, mine=bool(given.get("mine")), **fields)
    for at, (low, value, high) in enumerate(zip(one.low, one.y, one.high)):
        if None in (low, high) or value is None or not low <= value <= high:
            raise ParameterError(
                f"point {at} of {name!r} is {value!r}, and its interval is {low!r} to {high!r}; it has to lie in it."
            )
    return one


def _values(where, values):
    """A tuple of int, float, str and None; floats to six significant digits, which is all that a chart shows."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise ParameterError(f"{where} is {values!r}; it has to be a list.")
    return tuple(_value(where, at, value) for at, value in enumerate(values))


def _value(where, at, value):
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return rounded(value)
    raise ParameterError(f"{where} has {value!r} at place {at}; give finite numbers, and None where there is no value.")


def _fits_axis(series, axis, log):
    values = getattr(series, axis) + (series.low + series.high if axis == "y" else ())
    for value in values:
        if isinstance(value, str) if axis == "y" else value is None:
            raise ParameterError(f"{axis} of {series.name!r} has {value!r}; only x can be names, and only y have gaps.")
        if log and value is not None and (isinstance(value, str) or value <= 0):
            raise ParameterError(
                f"{axis} of {series.name!r} has {value!r}; a logarithmic axis has a place for positive numbers only. "
                "Leave the point out, or take a linear axis."
            )


def _same_kind_of_x(found):
    """Bars with bars, names with names."""
    bars = {one.kind if one.kind in BARS else "" for one in found if not one.mine}
    if len(bars) > 1:
        raise ParameterError(f"bars, stacked bars and other kinds share no axes: {sorted(map(str, bars))}. Use panels.")
    if len({isinstance(value, str) for one in found for value in one.x}) > 1:
        raise ParameterError("x has names and numbers; one axis shows either the one or the other. Use panels.")


def _reference(log, name, place):
    if not isinstance(place, (tuple, list)) or len(place) != 2 or place[0] not in ("x", "y"):
        raise ParameterError(f"reference {name!r} is {place!r}; give ('y', value) or ('x', value).")
    axis, value = place[0], _value(f"reference {name!r}", 0, place[1])
    if value is None or isinstance(value, str) or (axis in log and value <= 0):
        raise ParameterError(f"reference {name!r} is at {value!r}; its axis has no such place.")
    return name, axis, value
