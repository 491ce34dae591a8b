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
        cut = max(0, len(text) - self.num_held(self.looked_at(text, new)))
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

    def looked_at(self, text, new):
        """Where the beginning of a stop string is looked for: at the end of this."""
        return text

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


def ends_first(self, text, new):
    """The stop string that is whole first, as one finds it character by character."""
    for at in range(1, len(text) + 1):
        for stop in self.stop:
            if text[:at].endswith(stop):
                return at - len(stop)
    return None


def not_there_is_a_place(self, text, new):
    return min(text.find(stop) for stop in self.stop) if any(stop in text for stop in self.stop) else None


def begins_again(self, data):
    """Goes on after a stop string as if the answer began there."""
    self.is_stopped = False
    sent = Stream.push(self, data)
    self.is_stopped = True
    return sent


def held_as_a_whole(self, text):
    return len(text) if any(stop.startswith(text) for stop in self.stop) else 0


def ends_of_the_piece_of_all(self, data):
    """Looks at the end of the new piece alone for what to hold back, and for stop strings in all of the text."""
    if self.is_stopped:
        return ""
    new, sent = self.text_of(data), self.__dict__.get("num_sent", 0)
    self.all = self.__dict__.get("all", "") + new
    end = self.end(self.all, new)
    self.is_stopped = end is not None
    cut = end if self.is_stopped else len(self.all) - self.num_held(new)
    self.num_sent = max(sent, cut)
    self.held = self.all[self.num_sent :]
    return self.all[sent:cut]


def takes_it_back(self):
    text = Stream.finish(self)
    self.is_stopped = False
    return text


def once_whole(self, data):
    """Decodes once all bytes so far are whole characters."""
    self.raw = self.__dict__.get("raw", b"") + data
    try:
        text = self.raw.decode()
    except UnicodeDecodeError:
        return ""
    self.raw = b""
    return text


def once_ascii(self, data):
    """Decodes once a byte comes that is a character by itself."""
    self.raw = self.__dict__.get("raw", b"") + data
    if self.raw[-1:] >= b"\x80":
        return ""
    text, self.raw = self.raw.decode(errors="replace"), b""
    return text


def with_raw(self):
    return self.held + self.__dict__.get("raw", b"").decode(errors="replace")
