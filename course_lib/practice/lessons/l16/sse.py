"""The exercise 16.sse: server-sent events, written as bytes and read from chunks that are cut anywhere."""

import codecs

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property

from .solutions.sse import ServerSentEvents
from .sse_mistakes import MISTAKES
from .sse_trials import cut, many_events, reads, round_trip, two_connections, wrote


class EventsByCharacter:
    """Decodes as far as characters are whole, and looks at one character after the other."""

    def __init__(self):
        self.is_done = False
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.line, self.data = "", None

    def write(self, text):
        return ("data: " + text.replace("\n", "\ndata: ") + "\n\n").encode("utf-8")

    def read(self, chunk):
        events = []
        for character in self.decoder.decode(chunk):
            if character != "\n":
                self.line += character
                continue
            line, self.line = self.line.rstrip("\r"), ""
            if not line:
                if self.data == "[DONE]":
                    self.is_done = True
                elif self.data is not None and not self.is_done:
                    events.append(self.data)
                self.data = None
            elif line.startswith("data:"):
                value = line[6:] if line[5:6] == " " else line[5:]
                self.data = value if self.data is None else f"{self.data}\n{value}"
        return events


class EventsByBlocks:
    """Waits for the empty line, and then looks at all lines of the event."""

    def __init__(self):
        self.waiting, self.finished = bytearray(), False

    @property
    def is_done(self):
        return self.finished

    def write(self, text):
        out = b""
        for line in text.split("\n"):
            out += b"data: %s\n" % line.encode()
        return out + b"\n"

    def read(self, chunk):
        self.waiting += chunk
        events, block, start = [], [], 0
        while (end := self.waiting.find(b"\n", start)) >= 0:
            line = bytes(self.waiting[start:end]).removesuffix(b"\r")
            start = end + 1
            if line:
                block.append(line)
                continue
            values = [one[5:].decode() for one in block if one[:5] == b"data:"]
            text = "\n".join(one[1:] if one[:1] == " " else one for one in values)
            if values and not self.finished:
                if text == "[DONE]":
                    self.finished = True
                else:
                    events.append(text)
            block = []
            del self.waiting[:start]
            start = 0
        return events


JSON = b'data: {"id": 1, "text": " caf\xc3\xa9: a"}\n\n'
TWO = b"data: one\n\ndata: two\n\n"
SSE = Exercise(
    id="16.sse",
    title="Server-sent events",
    name="ServerSentEvents",
    cases="cases",
    properties=[
        Property(
            "`write` makes a `data: ` line of each line of the text, and an empty line ends the event",
            "The empty line is how the other side knows that the event is whole.",
            [wrote(text) for text in ("a", "hello", '{"text": " a"}', "", "[DONE]", " two  spaces ", "a: b")]
            + [wrote(text) for text in ("one\ntwo", "a\n\nb", "a\n", "\na", "x\ny\nz")],
        ),
        Property(
            "`write` gives UTF-8, and only a `\\n` separates lines",
            "JSON may hold the line separator U+2028 as it is, and `splitlines` would cut the text there.",
            [wrote(text) for text in ("é", "日本", "a\u2028b", "\x0b", "one\u2029two\nthree", "a\x0cb", "x\x85y")],
        ),
        Property(
            "`read` returns the text of an event when its empty line has come",
            "An event may still get another line before that.",
            [
                reads(b"data: a\n\n"),
                reads(b"data: hello there\n\n"),
                reads(JSON),
                reads(TWO, note="two events in one chunk"),
                reads(b"data: a\n", note="no empty line yet"),
                reads(b"data: a\n", b"\n"),
                reads(b"data: a\n\ndata: b\n", b"\n"),
                reads(b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"),
                reads(TWO, b"data: three\n\n"),
                reads(b"\n", b""),
                reads(b"data: a", b"", b"\n\n", note="an empty chunk ends nothing"),
                many_events(2000),
                reads(b"data: a"),
                reads("data: a\u2028b\n\n".encode(), note="U+2028 ends no line"),
                reads("data: x\x85y\n\ndata: \x0b\n\n".encode()),
                reads("data: one\u2029two\n\n".encode()),
            ],
        ),
        Property(
            "The events are the same wherever the bytes are cut",
            "A chunk is what the network brought at a time. It knows nothing of lines or characters.",
            [
                cut(b"data: a\n\n", 3),
                cut(b"data: a\n\n", 7),
                cut(b"data: hello\n\n", 8),
                cut(TWO, 14),
                cut(TWO, 5, 12, 18),
                cut(TWO),
                cut(JSON, 27),
                cut("data: é\n\n".encode(), 7),
                cut("data: 日本\n\n".encode(), 7, 11),
                cut("data: 😀\n\n".encode(), 8),
                cut("data: a é 日 😀\n\n".encode()),
                cut(b"data: one\ndata: two\n\n", 10),
                cut(b"data: one\ndata: two\n\n"),
                cut(b"data: a\r\n\r\n"),
                cut(b"data: a\r\n\r\ndata: b\r\n\r\n", 8, 10),
            ],
        ),
        Property(
            "Several `data` lines of an event are joined by `\\n`",
            "So a text of several lines comes back as it was.",
            [
                reads(b"data: one\ndata: two\n\n"),
                reads(b"data: a\ndata:\ndata: b\n\n"),
                reads(b"data: a\ndata: \n\n"),
                reads(b"data: a\ndata: b\n\ndata: c\n\n"),
                reads(b"data: x\ndata: y\ndata: z\n\ndata: x\ndata: y\n\n"),
                *(round_trip(text, step) for text in ("one\ntwo", "a\n\n", " é\n 日") for step in (1, 4)),
            ],
        ),
        Property(
            "One space after the colon is taken off, if it is there, and no more",
            "The first space belongs to the format, all others to the text: most tokens begin with a space.",
            [
                reads(b"data:a\n\n"),
                reads(b"data:  a\n\n"),
                reads(b"data:   a b \n\n"),
                reads(b"data: a  \n\n"),
                reads(b'data:{"a": 1}\n\n'),
                reads(b"data:\n\n", note="an empty text"),
                reads(b"data: \n\n"),
                reads(b"data:\n\ndata:b\n\n"),
                reads(b"data: a:b: c\n\n"),
            ],
        ),
        Property(
            "Comments and other fields are ignored, and an event without a `data` line is none",
            "Servers send a comment now and then so that nobody takes the connection for dead.",
            [
                reads(b": ping\n\n"),
                reads(b": ping\n\n: ping\n\ndata: a\n\n"),
                reads(b": ping\ndata: a\n\n"),
                reads(b"data: a\n: ping\ndata: b\n\n"),
                reads(b"data: a\n: ping\n\n"),
                reads(b"data: a\n", b":\n", b"data: b\n\n"),
                reads(b"event: ping\n\n"),
                reads(b"event: ping\nid: 3\ndata: a\n\n"),
                reads(b": data: a\n\n"),
                reads(b"id: data: 3\n\n"),
                reads(b":data: a\ndata: b\n\n"),
                reads(b"database: a\n\n"),
                reads(b"datax: 1\ndata: a\n\n"),
                reads(b"data2: a\n\ndata: b\n\n"),
                reads(b"retry: 10\n\n\n\n"),
                reads(b"\n\n\ndata: a\n\n"),
            ],
        ),
        Property(
            "A line may end with `\\r\\n`, too",
            "Some servers and proxies write both characters.",
            [
                reads(b"data: a\r\n\r\n"),
                reads(b"data: a\r\ndata: b\r\n\r\n"),
                reads(b": ping\r\n\r\ndata: a\r\n\r\n"),
                reads(b"data: a\n\r\ndata: b\r\n\n"),
                reads(b"data: a\r", b"\n\r", b"\n"),
                reads(b"data: [DONE]\r\n\r\n"),
            ],
        ),
        Property(
            "`[DONE]` sets `is_done`. It is not returned, and neither is anything after it",
            "The client would take it for JSON.",
            [
                reads(b"data: [DONE]\n\n"),
                reads(b"data: a\n\ndata: [DONE]\n\n"),
                reads(b"data: [DONE]\n", note="no empty line yet"),
                reads(b"data: [DONE]\n\ndata: a\n\n"),
                reads(b"data: a\n\ndata: [DONE]\n\n", b"data: b\n\n"),
                reads(b"data: [DONE]\n\n", b": ping\n\n", b"data: b\n\n"),
                reads(b"data: [DONE]\n\n", b"data: b\n", b"\n"),
                reads(b"data: [DONE] \n\n", note="a text with a space at its end"),
                reads(b"data:  [DONE]\n\ndata: a\n\n", note="a text with a space at its beginning"),
                reads(b"data: [DONE]\ndata:\n\ndata: a\n\n", note="a text of two lines"),
                reads(b"data: so [DONE]\n\ndata: a\n\n"),
                reads(b"data: [DONE]\ndata: a\n\ndata: b\n\n", note="a text of two lines"),
                reads(b"data: a\ndata: [DONE]\n\ndata: b\n\n", note="a text of two lines"),
                reads(b'data: {"a": "[DONE]"}\n\n'),
                cut(b"data: a\n\ndata: [DONE]\n\n", 20),
                cut(b"data: [DONE]\n\n"),
            ],
        ),
        Property(
            "Two connections do not share anything",
            "A client has several streams open at a time.",
            [
                two_connections((0, b"data: a"), (1, b"data: b\n\n"), (0, b"\n\n")),
                two_connections((0, b"data: a\n"), (1, b"\n"), (0, b"\n")),
                two_connections((0, b"data: [DONE]\n\n"), (1, b"data: b\n\n")),
                two_connections((1, b"data: \xc3"), (0, b"data: a\n\n"), (1, b"\xa9\n\n")),
            ],
        ),
    ],
    mistakes=[*RETURNS_NOTHING, *MISTAKES],
    hints=[
        "Keep two things between calls: the bytes after the last `\\n`, and the values of the event that is not "
        "over yet.",
        '`*lines, self.rest = (self.rest + chunk).split(b"\\n")` gives all whole lines, and keeps what follows them. A '
        "whole line can be decoded, since no character is cut in it.",
        '`field, _, value = line.partition(":")`. For `data`, append `value.removeprefix(" ")`. A comment has an empty '
        "field.",
        "At an empty line: where there are values, join them by `\\n`, forget them, and return the text, unless it is "
        "`[DONE]`, or that has come before.",
    ],
    rights=[ServerSentEvents, EventsByCharacter, EventsByBlocks],
    why="Cutting at the byte `\\n` is safe: in UTF-8 no other character holds this byte. The format is from the HTML "
    "standard; `[DONE]` is OpenAI's addition. Clients such as `openai` and `course bench` read streams like this.",
)
