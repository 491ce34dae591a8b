"""A cost model from a file: an object with its costs, or the record of a simulated run."""

import json
from dataclasses import fields

from course_lib.errors import ParameterError

from ..cost import CostModel
from .parsing import naming


def read_cost(path):
    """The CostModel in a JSON file. Raises ParameterError where there is none."""
    names = [field.name for field in fields(CostModel)]
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError) as error:  # RecursionError: brackets in brackets
        why = getattr(error, "strerror", None) or "it is no JSON"
        raise ParameterError(f"--cost {path} cannot be read: {why}. Give a file that a simulated run wrote.") from None
    if isinstance(found, dict) and isinstance(found.get("target"), dict):
        found = found["target"].get("cost")
    if not isinstance(found, dict) or not found or not found.keys() <= set(names):
        raise ParameterError(
            f"--cost {path} holds no cost model. It is an object with {', '.join(names)} in seconds, or the record of "
            f"a simulated run."
        )
    with naming(f"--cost {path}"):
        return CostModel(**found)
