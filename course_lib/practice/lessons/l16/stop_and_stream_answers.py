"""Wrong answers to 16.stop_and_stream. Each is the right answer with one part replaced."""

import codecs


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


def stops_at_the_end(self):
    self.is_stopped = True
    return Stream.last(self)


def in_any_case(self, text, new):
    return min((text.lower().find(one.lower()) for one in self.stop if one.lower() in text.lower()), default=None)


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
