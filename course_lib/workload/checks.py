"""Numbers of a workload, held to what they can be. Each message names the fact, what it means and the next step."""

import math

from course_lib.errors import ParameterError


def check_number(name, value, what, *, above=None, at_least=None, at_most=math.inf, instead):
    """The value as a float. what: what the number is. Raises ParameterError unless it is finite and large enough."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if (
        not is_number
        or value > at_most
        or (above is not None and value <= above)
        or (at_least is not None and value < at_least)
    ):
        bound = f"above {above:g}" if above is not None else f"at least {at_least:g}"
        bound += f", at most {at_most:g}" if at_most < math.inf else ""
        raise ParameterError(f"{name} is {value!r}, but it is {what}: a finite number, {bound}. Try {instead}.")
    return float(value)


def check_whole(name, value, what, *, at_least=1, instead):
    """The value, an int. Raises ParameterError unless it is one and large enough."""
    if type(value) is not int or value < at_least:
        raise ParameterError(
            f"{name} is {value!r}, but it is {what}: a whole number of at least {at_least}. Try {instead}."
        )
    return value
