"""Texts of the command line as values: an address, a setting, a client, a sweep."""

import math
from contextlib import contextmanager
from urllib.parse import urlsplit

from course_lib.errors import ParameterError

OF_A_CLIENT = {
    "rate": float, "burstiness": float, "users": int, "think_time": float, "lengths": str, "scale": float,
    "num_requests": int, "duration": float, "turns": str, "prefix_tokens": int, "num_prefixes": int,
    "prefix_share": float, "priority": int,
}  # fmt: skip
"""What --client can say of one client: options of the command, and its priority."""


@contextmanager
def naming(option):
    """Puts the option before the message of a ParameterError that does not name it."""
    try:
        yield
    except ParameterError as error:
        raise error if str(error).startswith("--") else ParameterError(f"{option}: {error}") from None


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


def parse_client(text, known):
    """(name, {option: value}) of NAME or NAME:KEY=VALUE,KEY=VALUE. known: names that are taken."""
    name, _, rest = text.partition(":")
    given = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        try:
            given[key] = OF_A_CLIENT[key](value)
        except (KeyError, ValueError):
            equals = ""
        if not equals:
            raise ParameterError(
                f"--client is {text!r}, but it is NAME or NAME:KEY=VALUE,KEY=VALUE, and {part!r} is none of these. The "
                f"keys are {', '.join(OF_A_CLIENT)}."
            )
    if not name or name in known:
        raise ParameterError(f"--client {text!r} needs a name of its own before the colon, such as web:rate=3.")
    return name, given


def parse_sweep(text):
    """The rates of "1,2,4,8": ascending floats."""
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if len(rates) < 2 or not all(0 < a < b < math.inf for a, b in zip(rates, rates[1:])):
        raise ParameterError(
            f"--rates is {text!r}, but it is two or more rates in ascending order, with commas between. Try 1,2,4,8."
        )
    return rates
