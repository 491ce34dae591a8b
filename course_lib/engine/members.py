"""Holds an object to a Protocol: whether it has the members, and whether its methods take the arguments there.

Only names and signatures are looked at; nothing of the object is called. See protocols.py for the Protocols themselves.
"""

import inspect
from functools import cache

from course_lib.errors import ParameterError


def optional(member):
    """Marks a member of a Protocol that may be missing."""
    member.is_optional = True
    return member


def problem_with(part, protocol):
    """What keeps the part from fitting, as the end of a sentence that begins with its name; None if it fits."""
    members = members_of(protocol)
    missing = [name for name, member in members.items() if not is_optional(member) and not has(part, name)]
    if missing:
        which = " and no ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        return f"has no {which}. An engine needs {' '.join(described(protocol, name) for name in missing)}"
    for name, member in members.items():
        if isinstance(member, property) or not has(part, name):
            continue
        method = getattr(part, name)
        problem = refusal(method, *arguments_of(member)) if callable(method) else f"it is {method!r}"
        if problem:
            return f"has {name}, but it cannot be called: {problem}. An engine calls {described(protocol, name)}"
    return None


@cache
def members_of(protocol):
    """{name: function or property}: what a part must have, in the order in which the Protocol lists it."""
    members = {name: member for name, member in vars(protocol).items() if not name.startswith("_") or name == "__len__"}
    return {name: m for name, m in members.items() if inspect.isfunction(m) or isinstance(m, property)}


@cache
def arguments_of(function):
    """(args, kwargs) with which a method of a Protocol is called: all of its parameters, those after * by name."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    by_name = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    return (None,) * (len(parameters) - len(by_name)), dict.fromkeys(by_name)


def check_members(part, what, protocol, lesson):
    """The part, if it fits. what: "allocator", for the message. Raises ParameterError with the first problem."""
    if problem := problem_with(part, protocol):
        raise ParameterError(f"The {what} {name_of(part)} {problem} See {lesson}.")
    return part


def make_part(what, factory, made_as, lesson, /, *args, **kwargs):
    """factory(*args, **kwargs). Raises ParameterError if it is no class or function, or does not take these arguments.

    made_as: the arguments in words, for the message.
    """
    if not callable(factory):
        raise ParameterError(
            f"{what} is {factory!r}, which is no class. Pass the class: each engine makes an object of its own from it."
        )
    if problem := refusal(factory, args, kwargs):
        raise ParameterError(
            f"An engine makes its {what} as {name_of(factory)}({made_as}), and this cannot be called so: {problem}. "
            f"Let its __init__ take these arguments. See {lesson}."
        )
    return factory(*args, **kwargs)


def refusal(function, args, kwargs):
    """Why a function does not take these arguments; None if it does, or if its signature cannot be read."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        return str(error)


def described(protocol, name):
    """What a member must do: `free(block_ids): takes one reference off each block.`"""
    member = vars(protocol)[name]
    text = " ".join(inspect.getdoc(member).split())
    if isinstance(member, property):
        return f"`{name}`: {text}"
    arguments = str(inspect.signature(member)).replace("(self, ", "(").replace("(self)", "()")
    return f"`{name}{arguments}`: {text}"


def has(part, name):
    """Whether an object has a member. A property counts, even if reading it would raise AttributeError."""
    return any(name in vars(kind) for kind in type(part).__mro__) or hasattr(part, name)


def is_optional(member):
    return hasattr(member.fget if isinstance(member, property) else member, "is_optional")


def name_of(part):
    """The name of a class or function, or of the class of any other object."""
    return part.__name__ if inspect.isroutine(part) or isinstance(part, type) else type(part).__name__
