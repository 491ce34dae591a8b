"""What a view is handed, taken in: whole numbers, texts and keys, refused with the place where they stand."""

from course_lib.errors import ParameterError


def whole(where, value, low=0, high=None):
    """`value` as an int from `low` to `high`; `where` names it in the error."""
    fits = (
        not isinstance(value, bool) and hasattr(value, "__index__") and value >= low and (high is None or value <= high)
    )
    if not fits:
        room = f"from {low:,} to {high:,}" if high is not None else f"of {low:,} or more"
        raise ParameterError(f"{where} is {value!r}; it has to be a whole number {room}.")
    return value.__index__()


def some(where, things):
    """`things` as a list with something in it."""
    things = list(things)
    if not things:
        raise ParameterError(f"`{where}` is empty, so there is nothing to draw. Give at least one.")
    return things


def texts(where, tokens):
    """`tokens` as a list of str, not empty."""
    tokens = some(where, tokens)
    for position, token in enumerate(tokens):
        if not isinstance(token, str):
            raise ParameterError(
                f"{where}[{position}] is {token!r}, but a view shows text. Pass the text of each token, for example "
                "[tokenizer.token_text(i) for i in token_ids]."
            )
    return tokens


def keys(where, given, wanted):
    """Refuses a dict that lacks one of the keys `wanted`."""
    if not isinstance(given, dict):
        raise ParameterError(f"{where} is {given!r}; it has to be a dict with {', '.join(wanted)}.")
    missing = [repr(name) for name in wanted if name not in given]
    if missing:
        raise ParameterError(f"{where} has no {', '.join(missing)}. It needs {', '.join(wanted)}.")


def count(number, noun):
    """3, "token" -> "3 tokens"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
