"""Wrong answers to 00.hello."""

OPENING = "Once upon a time, in a quiet harbour, there lived a patient otter named "


def hello_shows(name):
    print(OPENING, name, ".", sep="")


def hello_without_stop(name):
    return OPENING + str(name)


def hello_always_mia(name):
    name = "Mia"
    return OPENING + name + "."


def hello_without_f(name):
    return "Once upon a time, in a quiet harbour, there lived a patient otter named {name}."


def hello_tidies(name):
    return f"{OPENING}{name[0].upper() + name[1:].lower()}."


def hello_line(name):
    return "".join([OPENING, name, ".", "\n"])


def hello_quotes(name):
    return f"{OPENING}{name!r}."


def hello_misspelt(name):
    return f"{OPENING.replace('harbour', 'harbor')}{name}."


def hello_forgets(name):
    OPENING + name + "."


def hello_other_sentence(name):
    return "Once there was a badger."


def hello_short(name):
    return "Hello"


class Text(str):
    """A subclass of str."""


def hello_own_class(name):
    return Text(OPENING + "Mia.")


def hello_plus(name):
    return "Once upon a time, in a quiet harbour, there lived a patient otter named" + name + "."


def hello_without_spaces_around(name):
    return f"{OPENING}{name.strip()}."


CASES = {
    "00.hello": [
        ("spaces are taken", hello_without_spaces_around),
        ("printed, not returned", hello_shows),
        ("full stop", hello_without_stop),
        ("name that is passed is not used", hello_always_mia),
        ("before the quotes is missing", hello_without_f),
        ("capitals are changed", hello_tidies),
        ("white space", hello_line),
        ("is in quotes", hello_quotes),
        (None, hello_misspelt),
        ("nothing is returned", hello_forgets),
        (None, hello_other_sentence),
        (None, hello_short),
        (None, hello_own_class),
        ("no space before the name", hello_plus),
    ]
}
