"""Whether what the learner handed in can be checked, and if not, what it is instead."""

import dis
import inspect

from .blame import unwrapped
from .outcome_text import a_kind


def unfit(exercise, answer, given=True):
    """What is wrong with the kind of the answer, in words for the learner; "" when it can be checked."""
    call = f'check("{exercise.id}", {exercise.name})'
    if not given:
        return f"There is nothing to check. Hand in what you wrote: `{call}`."
    if inspect.isclass(exercise.reference):
        if not inspect.isclass(answer):
            kind = type(answer).__name__
            made = f"an object of your class {kind}" if kind == exercise.name else a_kind(answer)
            return f"The check makes its own objects, so it needs the class itself, not {made}: `{call}`."
        return ""
    if answer is None:
        return (
            f"The check got None. Hand in the function itself, without calling it: `{call}`. "
            f"(A function that ends without `return` gives None when it is called.)"
        )
    if inspect.isclass(answer):
        return f"The check got the class `{answer.__name__}`. This exercise asks for a function: `{call}`."
    if not callable(answer):
        return (
            f"The check got {a_kind(answer)}, perhaps the result of a call. Hand in the function itself, "
            f"without brackets behind it: `{call}`."
        )
    if type(answer).__module__.startswith("triton."):
        return f"The check got a Triton kernel. Hand in the function that launches it: `{call}`."
    return made_otherwise(exercise, answer) or wrong_arguments(exercise, answer)


def made_otherwise(exercise, answer):
    """What calling the answer gives instead of a result: a generator or a coroutine; or ""."""
    function = unwrapped(answer)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return (
            f"`{exercise.name}` is written with `async`, so a call gives no result yet. Write `def` alone, and "
            f"`return`."
        )
    if inspect.isgeneratorfunction(function):
        return f"`{exercise.name}` uses `yield`, so a call gives a generator and not the result. Use `return` instead."
    return ""


def wrong_arguments(exercise, answer):
    """What is wrong with the answer's arguments, or ""."""
    wanted = inspect.signature(exercise.reference)
    try:
        theirs = inspect.signature(answer)
    except (TypeError, ValueError):
        return ""  # some functions written in C do not tell
    for count in {sum(p.default is p.empty for p in wanted.parameters.values()), len(wanted.parameters)}:
        try:
            theirs.bind(*[None] * count)
        except TypeError:
            name = getattr(answer, "__name__", exercise.name)
            names = [f"`{n}`" for n in wanted.parameters]
            by_name = [
                f"`{p.name}`" for p in theirs.parameters.values() if p.kind is p.KEYWORD_ONLY and p.default is p.empty
            ]
            said = (
                f"`{name}{theirs}` cannot be called as `{exercise.name}{wanted}`: it has to take {len(names)} "
                f"{'argument' if len(names) == 1 else 'arguments, in that order'}: {', '.join(names)}."
            )
            optional = [p.name for p in wanted.parameters.values() if p.default is not p.empty]
            if len(theirs.parameters) == len(names) and optional and not by_name:
                p = wanted.parameters[optional[0]]
                said += f" `{p.name}` may be left out of a call, so it needs its default: write `{p}`."
            if by_name:
                said += (
                    f" After a `*`, {', '.join(by_name)} can only be given by name; the check gives every argument by "
                    f"its place. Take the `*` away."
                )
            return said
    return ""


def has_empty_body(answer):
    """Whether a function does nothing: its body is `pass`, `...` or only a docstring."""
    code = getattr(answer, "__code__", None)
    if code is None:
        return False
    steps = [s for s in dis.get_instructions(code) if s.opname not in ("RESUME", "NOP")]
    return all(
        s.opname == "RETURN_VALUE" or (s.opname in ("LOAD_CONST", "RETURN_CONST") and s.argval is None) for s in steps
    )
