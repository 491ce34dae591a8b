"""Cases of lesson 00: the loop of fail, hint, pass."""

from course_lib.practice.judge.common_mistakes import NOTHING_RETURNED, PRINTED
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.hello import hello

SENTENCE = "Once upon a time, in a quiet harbour, there lived a patient otter named"


def hello_joined(name):
    return " ".join([SENTENCE, name]) + "."


def hello_formatted(name):
    return "{} {}.".format(SENTENCE, name)


def greeting(name):
    """The Trial that calls hello(name)."""
    return Trial([f"hello({name!r})"], lambda answer: answer(name), explain=first_difference, size=len(name))


def first_difference(expected, got):
    """Where two texts part, in words; "" where `got` is no text."""
    if not isinstance(got, str):
        return ""
    at = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
    if at == len(expected):
        return f"After the full stop, yours goes on with {got[at:]!r}."
    if at == len(got):
        return f"Yours ends too early: {expected[at:]!r} is missing at its end."
    return (
        f"They part at character {at + 1}, after {expected[max(0, at - 12) : at]!r}: "
        f"{expected[at]!r} is expected, yours has {got[at]!r}."
    )


def prints(name):
    print(hello(name))


def unaffected_by_the_name(answer, found):
    """Whether it is the sentence, or its beginning, with something fixed in the name's place."""
    if not str(found.outcome).startswith(SENTENCE[:16]):
        return False  # another text altogether, or no text
    told = [answer(name) for name in ("Mia", "Juniper", "O'Neil")]
    return isinstance(told[0], str) and len(set(told)) == 1 and "{" not in told[0]


HELLO = Exercise(
    id="00.hello",
    title="An opening for a tale",
    name="hello",
    cases="names",
    properties=[
        Property(
            "`hello` hands a text back",
            "The next cell goes on from what `hello` returns, so it must be a `str`.",
            [
                Trial(
                    [f"type(hello({name!r})).__name__"],
                    lambda answer, name=name: type(answer(name)).__name__,
                    show=str,
                    size=len(name),
                )
                for name in ("Al", "Mia", "Juniper")
            ],
        ),
        Property(
            "The sentence is the one asked for, to the full stop",
            "The model was taught on sentences of exactly this form, sign for sign.",
            [greeting(name) for name in ("Al", "Mia", "Juniper")],
        ),
        Property(
            "Any name stands in it just as it was given",
            "Names have capitals, spaces and accents in odd places.",
            [greeting(name) for name in ("Zoë", "McKay", "O'Neil", "mia", "de la Cruz", "J.", "Anna Lee", "R2D2")],
        ),
    ],
    mistakes=[
        Mistake(
            "the sentence is printed, not returned.",
            "`print` shows text on the page and gives `None` to whoever called. `return` hands the text over.",
            prints,
            PRINTED.is_made_by,
        ),
        NOTHING_RETURNED,
        Mistake(
            "the full stop at the end is missing.",
            "Without it the sentence is not over, and the model goes on from the middle of it.",
            lambda name: hello(name)[:-1],
        ),
        Mistake(
            "the name does not get in: the `f` before the quotes is missing.",
            'Only an f-string, `f"… {name}."`, replaces the braces by the value.',
            lambda name: SENTENCE + " {name}.",
        ),
        Mistake(
            "there is no space before the name.",
            "`+` puts two texts together with nothing between them. The space belongs at the end of the first.",
            lambda name: SENTENCE + name + ".",
        ),
        Mistake(
            "the name that is passed is not used.",
            "The sentence is the same whatever `name` is. Put the argument in its place.",
            is_made_by=unaffected_by_the_name,
        ),
        Mistake(
            "the name's capitals are changed.",
            "A name is handed in as its owner writes it: `mia` stays `mia`, `McKay` stays `McKay`.",
            tuple(
                lambda name, change=change: hello(change(name))
                for change in (str.title, str.capitalize, str.lower, str.upper)
            ),
        ),
        Mistake(
            "there is white space after the full stop.",
            "A space or a line break at the end is one more token for the model, and it reads it as one.",
            tuple(lambda name, end=end: hello(name) + end for end in ("\n", " ")),
        ),
        Mistake(
            "the name stands in quotes.",
            "Quotes show where a text begins and ends in code. `{name}` puts in the text alone, `{name!r}` its quotes "
            "too.",
            (lambda name: hello(repr(name)), lambda name: hello(f"'{name}'"), lambda name: hello(f'"{name}"')),
        ),
    ],
    hints=[
        "The function must hand the sentence back. `return` does that; `print` only shows it.",
        "Put an `f` before the opening quote, and `{name}` where the name belongs. The rest is the sentence, letter "
        "by letter.",
        '`return f"Once upon a time, in a quiet harbour, there lived a patient otter named {name}."` '
        "(mind the full stop before the last quote).",
    ],
    rights=[hello, hello_joined, hello_formatted],
    why="An f-string puts the value of `name` where the braces stand. Nothing is stripped, capitalised or quoted, so "
    "the name arrives as it was given; the full stop ends the sentence, as in every tale that the model has read.",
)
