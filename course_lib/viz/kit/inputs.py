"""What a view is given, checked: whole numbers, texts of tokens and keys. An error names the place."""

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


def token_texts(where, tokens):
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


def index_or_none(selected, number, noun):
    """A selection that is the number of one of `number` things, or None. noun: "block"."""
    if selected is None or (type(selected) is int and 0 <= selected < number):
        return selected
    raise ParameterError(
        f"selected = {selected!r} is no {noun}; there are {noun}s 0 to {number - 1}. Give one of them, or None."
    )


def name_or_none(selected, names, noun):
    """A selection that is one of the names, or None. noun: "request"."""
    if selected is None or selected in names:
        return selected
    raise ParameterError(f"selected = {selected!r} is no {noun}; there are {', '.join(names)}. Give one, or None.")
