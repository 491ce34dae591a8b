"""Wrong answers to 16.sse. Each is the right answer with one part replaced."""


class Events:
    """The right answer in parts."""

    def __init__(self):
        self.is_done, self.rest, self.data = False, b"", []

    def write(self, text):
        return "".join(f"data: {line}\n" for line in text.split("\n")).encode() + b"\n"

    def read(self, chunk):
        return sum(map(self.take, self.lines(chunk)), [])

    def lines(self, chunk):
        return [self.line(line.decode()) for line in self.whole_lines(chunk)]

    def whole_lines(self, chunk):
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        return lines

    def line(self, text):
        return text.removesuffix("\r")

    def take(self, line):
        if not line:
            return self.end()
        field, _, value = line.partition(":")
        if field == "data":
            self.data.append(self.value(value))
        return []

    def value(self, text):
        return text.removeprefix(" ")

    def end(self):
        data, self.data = self.data, []
        return self.event(self.joined(data)) if data else []

    def joined(self, data):
        return "\n".join(data)

    def event(self, text):
        if text == "[DONE]":
            self.is_done = True
        return [] if self.is_done else [text]


def with_parts(**parts):
    """The right answer with some methods replaced."""
    return type("Events", (Events,), parts)


def lines_of_chunk(self, chunk):
    return [self.line(line) for line in chunk.decode(errors="replace").split("\n")[:-1]]


def all_lines_of_chunk(self, chunk):
    return [self.line(line) for line in chunk.decode(errors="replace").split("\n")]


def events_of_chunk(self, chunk):
    """Takes what is between two empty lines of the chunk for events, whole or not."""
    found = []
    for block in chunk.decode(errors="replace").replace("\r\n", "\n").split("\n\n"):
        lines = [line.partition(":")[2].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        found += self.event("\n".join(lines)) if lines else []
    return found


def decoded(errors):
    """Decodes each chunk by itself, and keeps the rest as text."""

    def lines(self, chunk):
        *whole, self.rest = ((self.rest or "") + chunk.decode(errors=errors)).split("\n")
        return [self.line(line) for line in whole]

    return with_parts(lines=lines)


def at_all_separators(self, chunk):
    whole, newline, self.rest = (self.rest + chunk).rpartition(b"\n")
    return (whole + newline).decode().splitlines()


def finds_data(self, line):
    """Looks for `data:` anywhere in the line."""
    if not line:
        return self.end()
    if "data:" in line:
        self.data.append(self.value(line.partition("data:")[2]))
    return []


def begins_with_data(self, line):
    if not line:
        return self.end()
    if line.startswith("data"):
        self.data.append(self.value(line.partition(":")[2]))
    return []


def any_field(self, line):
    if not line:
        return self.end()
    field, _, value = line.partition(":")
    if field:
        self.data.append(self.value(value))
    return []


def any_line(self, line):
    if not line:
        return self.end()
    self.data.append(self.value(line.partition(":")[2]))
    return []


def needs_the_space(self, line):
    if not line:
        return self.end()
    if line.startswith("data: "):
        self.data.append(line[6:])
    return []


def takes_six(self, line):
    if not line:
        return self.end()
    if line.startswith("data:"):
        self.data.append(line[6:])
    return []


def takes_letters_off(self, line):
    """lstrip takes all of these letters off, not the word."""
    if not line:
        return self.end()
    if line.startswith("data:"):
        self.data.append(line.lstrip("data: "))  # noqa: B005
    return []


def forgets_at_a_comment(self, line):
    if line.startswith(":"):
        self.data = []
    return Events.take(self, line)


def done_at_the_line(self, line):
    if line.startswith("data:") and self.value(line[5:]) == "[DONE]":
        self.is_done = True
        return []
    return Events.take(self, line)


def crlf_of_chunk(self, chunk):
    """Looks for `\\r\\n` in each chunk by itself."""
    return [line.decode() for line in self.whole_lines(chunk.replace(b"\r\n", b"\n"))]


def to_second_colon(self, line):
    if not line:
        return self.end()
    field, *values = line.split(":")
    if field == "data":
        self.data.append(self.value(values[0]))
    return []


def at_once(self, line):
    """Each line of data is an event, whether an empty line follows or not."""
    return self.event(self.value(line[5:])) if line.startswith("data:") else []


def keeps_data(self):
    return self.event(self.joined(self.data)) if self.data else []


def empty_events(self):
    data, self.data = self.data, []
    return self.event(self.joined(data))


def no_empty_text(self):
    data, self.data = self.data, []
    return self.event(self.joined(data)) if any(data) else []


def returns_done(self, text):
    self.is_done = self.is_done or text == "[DONE]"
    return [] if self.is_done and text != "[DONE]" else [text]


def goes_on(self, text):
    self.is_done = self.is_done or text == "[DONE]"
    return [] if text == "[DONE]" else [text]


def leaves_the_chunk(self, chunk):
    """Returns at `[DONE]`, and reads on in the next call."""
    events = []
    for line in self.lines(chunk):
        was_done = self.is_done
        events += [] if line or not self.data else [self.joined(self.data)]
        self.data = self.data if line else []
        if line:
            self.take(line)
        if events[-1:] == ["[DONE]"] and not was_done:
            self.is_done = True
            return events[:-1]
    return events


def never_done(self, text):
    return [] if text == "[DONE]" else [text]


def does_not_know_done(self, text):
    return [text]


def done_anywhere(self, text):
    if "[DONE]" in text:
        self.is_done = True
    return [] if self.is_done else [text]


def done_with_spaces(self, text):
    if text.strip() == "[DONE]":
        self.is_done = True
    return [] if self.is_done else [text]


def writes(function):
    return with_parts(write=lambda self, text: function(text))


def into_one_list(self, chunk):
    """The same list in each call."""
    found = self.__dict__.setdefault("found", [])
    found[:] = Events.read(self, chunk)
    return found
