"""How views write numbers, tokens, blocks and requests. The same in the browser, as far as it is needed: format.js."""

LISTED = 12  # so many block ids in a sentence; more are counted


def count(number, noun, plural=None):
    """3, "token" -> "3 tokens"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def request_name(request):
    """A request as it is called on the screen: R3 for a number and for "3", a name as it is."""
    text = str(request)
    return f"R{text}" if text[:1].isdigit() else text


def listed(blocks):
    """[3, 4] -> "3, 4"; more than LISTED are counted."""
    rest = len(blocks) - LISTED
    return ", ".join(map(str, blocks[:LISTED])) + (f" and {rest} more" if rest > 0 else "")


def these(blocks):
    """[3] -> "block 3"; [3, 4] -> "blocks 3, 4"."""
    return f"block{'s' * (len(blocks) != 1)} {listed(blocks)}"


def enumerated(names, most=6):
    """["a", "b", "c"] -> "a, b and c"; of more than `most`, those after the first `most` - 1 are counted."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1:,} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def percent(share):
    """0.3125 as "31.2 %"; what is there but too small to print says so."""
    if share <= 0 or share >= 1 - 1e-9:
        return "0 %" if share <= 0 else "100 %"
    if share < 0.0005:
        return "<0.1 %"
    if share >= 0.9995:
        return ">99.9 %"
    return f"{100 * share:.1f} %"


def visible(token):
    """A token as it can be read in a picture: a leading space as ␣, a new line as ⏎."""
    return token.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣") or "∅"


def label(token):
    """A token that stands alone: without its leading space, unless it is nothing else."""
    return visible(token[1:] if token.startswith(" ") and token.strip() else token)


def quoted(token):
    """A token inside a sentence."""
    return f"‘{visible(token)}’"


def shortened(text, length):
    """The text, cut at `length` characters with "…"."""
    return text if len(text) <= length else text[: length - 1] + "…"


def joined(sentences):
    """Sentences, each a list of [kind, text] pieces, as one such list with spaces between them."""
    return [piece for number, one in enumerate(sentences) for piece in ([["", " "]] if number else []) + one]


def program_ids(program):
    """The ids of a program of a kernel's grid, as they are written: 3, or (0, 3)."""
    return str(program[0]) if len(program) == 1 else f"({', '.join(map(str, program))})"
