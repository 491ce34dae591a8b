"""The mistakes in 16.stop_and_stream. Each is the right answer with one part replaced."""

import codecs

from course_lib.practice.judge.exercise import Mistake


class Stream:
    """The right answer in parts."""

    def __init__(self, stop):
        self.stop, self.is_stopped, self.held = stop, False, ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, data):
        if self.is_stopped:
            return self.after(data)
        before, new = self.held, self.text_of(data)
        text = before + new
        end = self.end(text, new)
        if end is not None:
            return self.stopped(text, end)
        cut = max(0, len(text) - self.num_held(text))
        self.held = text[cut:]
        return text[:cut]

    def text_of(self, data):
        return self.decoder.decode(data)

    def after(self, data):
        return ""

    def end(self, text, new):
        return min((text.find(stop) for stop in self.stop if stop in text), default=None)

    def stopped(self, text, end):
        self.is_stopped, self.held = True, ""
        return text[:end]

    def num_held(self, text):
        return max(begun(text, self.stop), default=0)

    def finish(self):
        return "" if self.is_stopped else self.last()

    def last(self):
        return self.held + self.decoder.decode(b"", final=True)


def begun(text, stops):
    return [n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])]


def with_parts(**parts):
    """The right answer with some methods replaced."""
    return type("Stream", (Stream,), parts)


def decoded(errors):
    return with_parts(text_of=lambda self, data: data.decode(errors=errors))


def first_of_list(self, text, new):
    return next((text.find(stop) for stop in self.stop if stop in text), None)


def last_found(self, text, new):
    return max((text.find(stop) for stop in self.stop if stop in text), default=None)


def last_place(self, text, new):
    return max((text.rfind(stop) for stop in self.stop if stop in text), default=None)


def in_the_piece(self, text, new):
    found = [new.find(stop) for stop in self.stop if stop in new]
    return len(text) - len(new) + min(found) if found else None


def with_stop(self, text, end):
    self.is_stopped, self.held = True, ""
    return text[: end + max(len(stop) for stop in self.stop if text.startswith(stop, end))]


def drops_before(self, text, end):
    self.is_stopped, self.held = True, ""
    return ""


def not_told(self, text, end):
    self.is_stopped, self.held, self.over = False, "", True
    return text[:end]


def silent_once_over(self, data):
    return "" if getattr(self, "over", False) else Stream.push(self, data)


def goes_on(self, text, end):
    self.is_stopped, self.held = True, ""
    return text[:end]


def keeps_held(self, text, end):
    self.is_stopped, self.held = True, text[end:]
    return text[:end]


def finish_all(self):
    return self.last()


def all_so_far(self, data):
    self.sent = getattr(self, "sent", "") + Stream.push(self, data)
    return self.sent


def sends_twice(self, data):
    """What was held is sent when it is held, and again later."""
    if self.is_stopped:
        return ""
    text = self.held + self.text_of(data)
    end = self.end(text, text)
    if end is not None:
        return self.stopped(text, end)
    self.held = text[len(text) - self.num_held(text) :]
    return text


def loses_held(self, data):
    """What was held is not sent when it was no stop string."""
    if self.is_stopped:
        return ""
    held, new = self.held, self.text_of(data)
    text = held + new
    end = self.end(text, new)
    if end is not None:
        return self.stopped(text, end)
    cut = len(text) - self.num_held(text)
    self.held = text[cut:]
    return text[min(len(held), cut) : cut]


def ends_only(self, text, new):
    """Sees a stop string only at the very end of the text."""
    return min((len(text) - len(stop) for stop in self.stop if text.endswith(stop)), default=None)


MISTAKES = [
    Mistake(
        "each piece is decoded by itself, and a character may be cut in it.",
        'Its bytes come in two pieces. `codecs.getincrementaldecoder("utf-8")` makes an object that keeps them.',
        (decoded("strict"), decoded("replace"), decoded("ignore")),
    ),
    Mistake(
        "bytes that are no character are dropped, or raise.",
        'Give the decoder `errors="replace"`: they become U+FFFD.',
        (
            with_parts(text_of=lambda self, data: self.__dict__.setdefault("lax", lax()).decode(data)),
            with_parts(text_of=lambda self, data: self.__dict__.setdefault("exact", exact()).decode(data)),
        ),
    ),
    Mistake(
        "nothing is held back for a stop string.",
        "Its beginning is sent, and cannot be taken back when the rest comes.",
        with_parts(num_held=lambda self, text: 0),
    ),
    Mistake(
        "too much is held back: always as much as a stop string has.",
        "Hold back what may begin a stop string, and send the rest: a stream should not lag behind.",
        (
            with_parts(num_held=lambda self, text: max((len(stop) - 1 for stop in self.stop), default=0)),
            with_parts(num_held=lambda self, text: max(map(len, self.stop), default=0)),
        ),
    ),
    Mistake(
        "only one character is held back.",
        "The beginning of a stop string may be longer.",
        with_parts(num_held=lambda self, text: int(any(text[-1:] == stop[0] for stop in self.stop))),
    ),
    Mistake(
        "text is held back that begins no stop string.",
        "The end of the text has to be the beginning of the stop string, not any part of it.",
        (
            with_parts(num_held=lambda self, text: int(any(text[-1:] and text[-1] in stop for stop in self.stop))),
            with_parts(
                num_held=lambda self, text: max(
                    [n for n in range(1, len(text) + 1) for stop in self.stop if text[-n:] in stop], default=0
                )
            ),
        ),
    ),
    Mistake(
        "only the first stop string is held back for.",
        "Any of them may be begun.",
        with_parts(num_held=lambda self, text: max(begun(text, self.stop[:1]), default=0)),
    ),
    Mistake(
        "the shortest possible beginning is held back, not the longest.",
        "In front of it stands what belongs to a longer one.",
        with_parts(num_held=lambda self, text: min(begun(text, self.stop), default=0)),
    ),
    Mistake(
        "stop strings are looked for in the new piece alone.",
        "A stop string may be cut over two pieces: look in what was held and what is new together.",
        with_parts(end=in_the_piece),
    ),
    Mistake(
        "a stop string is seen only at the end of the text.", "A piece may go on after it.", with_parts(end=ends_only)
    ),
    Mistake(
        "of several stop strings not the one that begins earliest is taken.",
        "Take the smallest of the places where they begin, whatever their order in the tuple.",
        (with_parts(end=first_of_list), with_parts(end=last_found), with_parts(end=last_place)),
    ),
    Mistake(
        "the stop string itself is sent.",
        "The answer ends where the stop string begins.",
        with_parts(stopped=with_stop),
    ),
    Mistake(
        "what stands before the stop string is not sent.",
        "It belongs to the answer, and so does what was held back before it.",
        with_parts(stopped=drops_before),
    ),
    Mistake(
        "text after the stop string is sent.",
        "Once a stop string was found, `push` returns an empty text, whatever comes.",
        (
            with_parts(after=lambda self, data: self.text_of(data)),
            with_parts(stopped=lambda self, text, end: goes_on_with(self, text, end)),
        ),
    ),
    Mistake(
        "`is_stopped` is not set.",
        "The server asks it, to end the request.",
        with_parts(stopped=not_told, push=silent_once_over, last=lambda self: silent_last(self)),
    ),
    Mistake(
        "`finish` does not return the text that was held back.",
        "No token follows, so the beginning of a stop string is text.",
        (with_parts(last=lambda self: ""), with_parts(last=lambda self: self.decoder.decode(b"", final=True))),
    ),
    Mistake(
        "`finish` leaves out a character that is not whole.",
        'It becomes U+FFFD: `decoder.decode(b"", final=True)`.',
        with_parts(last=lambda self: self.held),
    ),
    Mistake(
        "`finish` returns something after a stop string.",
        "The answer has ended where the stop string begins.",
        (
            with_parts(stopped=keeps_held, finish=finish_all),
            with_parts(after=lambda self, data: self.text_of(data) and "", finish=finish_all),
        ),
    ),
    Mistake(
        "`push` returns all text so far.", "Return what is new: the client has the rest.", with_parts(push=all_so_far)
    ),
    Mistake(
        "what is held back is sent as well, and then again.",
        "Cut it off the text that is returned.",
        with_parts(push=sends_twice),
    ),
    Mistake(
        "what was held back gets lost when it turns out to be no stop string.",
        "Put it before the new text.",
        with_parts(push=loses_held),
    ),
]


def lax():
    return codecs.getincrementaldecoder("utf-8")("ignore")


def exact():
    return codecs.getincrementaldecoder("utf-8")("strict")


def goes_on_with(self, text, end):
    """The stop string is taken out, and the text goes on."""
    self.is_stopped, self.held = True, ""
    length = max(len(stop) for stop in self.stop if text.startswith(stop, end))
    return text[:end] + text[end + length :]


def silent_last(self):
    return "" if getattr(self, "over", False) else Stream.last(self)
