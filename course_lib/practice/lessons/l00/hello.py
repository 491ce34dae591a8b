"""Exercise 00.hello: return a sentence with a name in it."""

import unicodedata

from course_lib.practice.judge.common_mistakes import NOTHING_RETURNED, PRINTED
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.hello import hello

LONG = "Maximiliana Wilhelmina Georgina von der Heide the Younger"
SENTENCE = "Once upon a time, in a quiet harbour, there lived a patient otter named"


def hello_joined(name):
    return " ".join([SENTENCE, name]) + "."


def hello_formatted(name):
    return "{} {}.".format(SENTENCE, name)  # noqa: UP032  (a right answer, written differently)


def greeting(name):
    """The Trial that calls hello(name)."""
    shown = repr(name) if unicodedata.is_normalized("NFC", name) else ascii(name)  # an accent of its own is not seen
    show = repr if shown == repr(name) else ascii
    return Trial([f"hello({shown})"], lambda answer: answer(name), show, explain=first_difference, size=len(name) or 99)


def first_difference(expected, got):
    """Where two strings first differ, in words; "" where `got` is not a string."""
    if not isinstance(got, str):
        return ""
    at = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
    if at == len(expected):
        return f"Your sentence has {got[at:]!r} after the full stop."
    if at == len(got):
        return f"Your sentence ends too early: {expected[at:]!r} is missing at the end."
    return (
        f"The first difference is at character {at + 1}, after {expected[max(0, at - 12) : at]!r}: "
        f"{expected[at]!r} is expected, your sentence has {got[at]!r}."
    )


def prints(name):
    print(hello(name))


def unaffected_by_the_name(answer, found):
    """Whether the answer is the sentence, or its beginning, with the same string for every name."""
    if not str(found.outcome).startswith(SENTENCE[:16]):
        return False  # another sentence, or not a string
    returned = [answer(name) for name in ("Mia", "Juniper", "O'Neil")]
    return isinstance(returned[0], str) and len(set(returned)) == 1 and "{" not in returned[0]


def normalises(answer, found):
    """Whether it writes an accent in the other of the two ways, and nothing else differs."""
    pairs = [(answer(name), hello(name)) for name in ("Zo\u00eb", "Zoe\u0308")]
    same = all(unicodedata.normalize("NFC", got) == unicodedata.normalize("NFC", want) for got, want in pairs)
    return same and any(got != want for got, want in pairs)


HELLO = Exercise(
    id="00.hello",
    title="An opening for a tale",
    name="hello",
    cases="names",
    properties=[
        Property(
            "`hello` returns a string",
            "The next cell gives the returned value to the model, so it must be a `str`.",
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
            "The sentence is exactly the one in the exercise, with its full stop",
            "The model was trained on sentences of exactly this form, character for character.",
            [greeting(name) for name in ("Al", "Mia", "Juniper")],
        ),
        Property(
            "Every name is inserted unchanged",
            "Names can have capitals, spaces and accents anywhere, and nothing of them is taken away.",
            [
                greeting(name)
                for name in (
                    "Zoë",
                    "McKay",
                    "O'Neil",
                    "mia",
                    "de la Cruz",
                    "J.",
                    "Anna Lee",
                    "R2D2",
                    " Bo ",
                    "Mia  Ann",
                    "Zoe\u0308",
                    "A\\B",
                    "{Mia}",
                    "Al ",
                    " Mia",
                    "",
                    "100% Al",
                    "Al\nBo",
                    LONG,
                )
            ],
        ),
    ],
    mistakes=[
        Mistake(
            "the sentence is printed, not returned.",
            "`print` shows the sentence on the page, and the function returns `None`. Use `return`.",
            prints,
            PRINTED.is_made_by,
        ),
        NOTHING_RETURNED,
        Mistake(
            "the full stop at the end is missing.",
            "Without it the sentence is not complete, and the model continues in the middle of it.",
            lambda name: hello(name)[:-1],
        ),
        Mistake(
            "the name is not inserted: the `f` before the quotes is missing.",
            'Only an f-string, `f"… {name}."`, replaces the braces with the value.',
            lambda name: SENTENCE + " {name}.",
        ),
        Mistake(
            "there is no space before the name.",
            "`+` joins two strings with nothing between them. Put the space at the end of the first string.",
            lambda name: SENTENCE + name + ".",
        ),
        Mistake(
            "the name that is passed is not used.",
            "The sentence is the same for every `name`. Insert the argument `name`.",
            is_made_by=unaffected_by_the_name,
        ),
        Mistake(
            "the name's capitals are changed.",
            "The name must stay as it was passed: `mia` stays `mia`, `McKay` stays `McKay`.",
            tuple(
                lambda name, change=change: hello(change(name))
                for change in (str.title, str.capitalize, str.lower, str.upper)
            ),
        ),
        Mistake(
            "spaces are taken from the ends of the name.",
            "The name must stay as it was passed, with all its spaces: `strip` takes some of them away.",
            lambda name: hello(name.strip()),
        ),
        Mistake(
            "spaces inside the name are lost.",
            "`split()` and `join` make one space of several. The name must stay as it was passed.",
            lambda name: " ".join(hello(name).split()),
        ),
        Mistake(
            "an empty name is replaced by another one.",
            "`name or …` takes what follows where the name is empty. Then the sentence has no name, and still the full "
            "stop.",
            lambda name: hello(name or "Juniper"),
            lambda answer, found: found.story == ["hello('')"] and str(found.outcome).startswith(f"{SENTENCE} "),
        ),
        Mistake(
            "a long name is cut.",
            "A name can have any length: leave out `[:n]` and a width in the format.",
            tuple(lambda name, width=width: hello(name[:width]) for width in (20, 32)),
            lambda answer, found: found.story == [f"hello({LONG!r})"] and str(found.outcome)[:-1] in hello(LONG),
        ),
        Mistake(
            "the characters of the name are replaced by others that look the same.",
            "An accent can be a character of its own, after its letter. `unicodedata.normalize` joins the two, and the "
            "name is another string.",
            is_made_by=normalises,
        ),
        Mistake(
            "there is white space after the full stop.",
            "A space or a line break at the end is one more token, and the model reads it.",
            tuple(lambda name, end=end: hello(name) + end for end in ("\n", " ")),
        ),
        Mistake(
            "the name is in quotes.",
            "In code, quotes mark where a string begins and ends. `{name}` inserts the string alone, `{name!r}` "
            "inserts the quotes too.",
            (lambda name: hello(repr(name)), lambda name: hello(f"'{name}'"), lambda name: hello(f'"{name}"')),
        ),
    ],
    hints=[
        "The check shows the first character where your sentence differs from the one in the exercise. Every character "
        "counts, the full stop at the end too. And the function has to `return` the sentence; `print` only shows it.",
        "Put an `f` before the opening quote, and `{name}` where the name belongs. The rest is the sentence of the "
        "exercise, copied.",
        '`return f"Once upon a time, in a quiet harbour, there lived a patient otter named {name}."` '
        "(with the full stop before the last quote).",
    ],
    rights=[hello, hello_joined, hello_formatted],
    why="An f-string puts the value of `name` where the braces are. Nothing is stripped, capitalised or quoted, so "
    "the name stays as it was passed. The full stop ends the sentence, as in every tale that the model was trained "
    "on.",
)
