"""The exercise 16.stop_and_stream: what of an answer may be sent, while a stop string or a character is not whole."""

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .solutions.stop_and_stream import StopStream
from .stop_and_stream_mistakes import MISTAKES


class StreamByWholeText:
    """Keeps all bytes, and how many characters were sent."""

    def __init__(self, stop):
        self.stop, self.data, self.sent, self.end = list(stop), b"", 0, None

    @property
    def is_stopped(self):
        return self.end is not None

    def push(self, data):
        if self.is_stopped:
            return ""
        self.data += data
        text = self._whole()
        places = sorted(text.index(stop) for stop in self.stop if stop in text)
        if places:
            self.end = places[0]
            return text[self.sent : self.end]
        length = len(text)
        while length > self.sent and not self._may_be_sent(text, length):
            length -= 1
        new, self.sent = text[self.sent : length], length
        return new

    def _may_be_sent(self, text, length):
        """Whether no stop string can begin before `length` and reach over the end of the text."""
        begins = [at for at in range(self.sent, len(text)) if any(stop.startswith(text[at:]) for stop in self.stop)]
        return not begins or begins[0] >= length

    def _whole(self):
        """The text without an unfinished character."""
        for cut in range(4):
            head, tail = self.data[: len(self.data) - cut], self.data[len(self.data) - cut :]
            needed = 1 + (tail[:1] >= b"\xc2") + (tail[:1] >= b"\xe0") + (tail[:1] >= b"\xf0") if tail else 0
            if tail and tail[0] in range(0xC2, 0xF5) and len(tail) < needed and self._is_begun(tail):
                return head.decode(errors="replace")
        return self.data.decode(errors="replace")

    def _is_begun(self, tail):
        try:
            tail.decode()
        except UnicodeDecodeError as error:
            return error.reason == "unexpected end of data"
        return False

    def finish(self):
        return "" if self.is_stopped else self.data.decode(errors="replace")[self.sent :]


class StreamByStates:
    """Follows each stop string as it is matched, one character after the other; stops where the earliest begins."""

    def __init__(self, stop):
        import codecs

        self.stop, self.is_stopped = tuple(stop), False
        self.bytes, self.waiting = codecs.getincrementaldecoder("utf-8")("replace"), ""

    def push(self, data):
        if self.is_stopped:
            return ""
        self.waiting += self.bytes.decode(data)
        for at in range(len(self.waiting)):
            if any(self.waiting.startswith(one, at) for one in self.stop):
                self.is_stopped = True
                return self.waiting[:at]
        at = 0
        while at < len(self.waiting) and not any(one.startswith(self.waiting[at:]) for one in self.stop):
            at += 1
        out, self.waiting = self.waiting[:at], self.waiting[at:]
        return out

    def finish(self):
        return "" if self.is_stopped else self.waiting + self.bytes.decode(b"", True)


def as_bytes(piece):
    return piece if isinstance(piece, bytes) else piece.encode()


def streamed(stop, *pieces, note=""):
    """The Trial of one answer: what each push and finish return, and is_stopped. pieces: str or bytes."""
    stop, pieces = tuple(stop), [as_bytes(piece) for piece in pieces]

    def act(answer):
        stream = answer(stop)
        sent = [stream.push(piece) for piece in pieces]
        stopped = stream.is_stopped
        return sent, stopped, stream.finish(), stream.is_stopped

    story = [
        f"stream = StopStream({stop!r})",
        f"[stream.push(data) for data in {pieces!r}], stream.is_stopped, stream.finish(), stream.is_stopped",
    ]
    size = sum(map(len, pieces)) + 4 * len(pieces) + sum(map(len, stop)) + 4 * len(stop)
    return Trial(story, act, note=note, size=size)


def by_character(stop, text):
    """The Trial of a text that comes one byte at a time."""
    data = text.encode()
    return streamed(stop, *(data[at : at + 1] for at in range(len(data))))


def two_streams(*turns):
    """The Trial of two answers with the stop string "END" that are written in turn. turns: (which, text)."""
    turns = [(which, as_bytes(piece)) for which, piece in turns]

    def act(answer):
        both = answer(("END",)), answer(("END",))
        sent = [both[which].push(piece) for which, piece in turns]
        return sent, [(one.is_stopped, one.finish()) for one in both]

    story = [
        'both = StopStream(("END",)), StopStream(("END",))',
        f"[both[which].push(data) for which, data in {turns}], [(one.is_stopped, one.finish()) for one in both]",
    ]
    return Trial(story, act, size=sum(len(piece) for _, piece in turns))


STOP_AND_STREAM = Exercise(
    id="16.stop_and_stream",
    title="What may be sent",
    name="StopStream",
    cases="answers",
    properties=[
        Property(
            "Without stop strings all text is sent as it comes",
            "There is nothing to wait for.",
            [
                streamed((), "a"),
                streamed((), "Once", " upon", " a"),
                streamed((), "", "a", ""),
                streamed((), "END", " STOP"),
                streamed((), "a\r\n\tb", "  \u2028 c ", note="every character is text"),
            ],
        ),
        Property(
            "A character that is not whole is held back",
            "A token may end within a character, and half a character is no text.",
            [
                streamed((), b"\xc3", b"\xa9"),
                streamed((), b"caf\xc3", b"\xa9 au lait"),
                streamed((), b"\xe6", b"\x97", b"\xa5", "a"),
                streamed((), b"\xf0\x9f", b"\x98\x80"),
                streamed((), b"\xc3", "", b"\xa9", note="an empty token ends no character"),
                streamed(("END",), "E", b"\xc3", b"\xa9", note="E waits until the character after it is whole"),
                streamed(("x",), b"a\xe6\x97", b"\xa5b"),
                by_character((), "é日😀"),
                by_character(("END",), "a日Eé"),
            ],
        ),
        Property(
            "Bytes that cannot become a character are U+FFFD, and so is one that is still not whole at the end",
            "A model may write any bytes. The answer is text all the same.",
            [
                streamed((), b"a\xff", b"b"),
                streamed((), b"\xc3", b"b"),
                streamed((), b"\xa9", b"\xa9"),
                streamed((), b"a\xe6\x97"),
                streamed((), b"a", b"\xc3"),
                streamed(("b",), b"\xf0\x9f", b"a"),
                streamed(("END",), b"E", b"\xc3"),
            ],
        ),
        Property(
            "The text ends where the first stop string begins, and nothing follows",
            "The stop string is no part of the answer.",
            [
                streamed((".",), "a.b"),
                streamed((".",), ".", "a"),
                streamed((".",), "a.b.c", "d"),
                streamed((".",), "a", "b.", "c", "d."),
                streamed(("END",), "one END two"),
                streamed(("END",), "ENDEND", "a"),
                streamed((".", ","), "a, b. c"),
                streamed((",", "."), "b. c, d"),
                streamed(("b", "ab"), "xab"),
                streamed(("ab", "b"), "xab"),
                streamed(("ND", "END"), "the END"),
                streamed(("lo w", "hello world"), "so hello world, a", note="lo w is whole first, and begins later"),
                streamed(("é",), "caf\u00e9 au"),
                streamed(("\n\n",), "a\n\nb"),
                streamed(("END",), "the End, and an end", note="capital letters are other letters"),
                streamed((".End",), "a.end b.End c", "d"),
                streamed(("b", "É"), "aé", "B", "É", "a"),
            ],
        ),
        Property(
            "An end of the text that may begin a stop string is held back until that is decided",
            "What was sent cannot be taken back.",
            [
                streamed(("END",), "a E"),
                streamed(("END",), "a E", "ND b"),
                streamed(("END",), "EN", "D"),
                streamed(("END",), "on E", "N", "T"),
                streamed(("END",), "E", "N", "D", "a"),
                streamed(("\n\n",), "a\n", "b\n", "\n", "c"),
                streamed(("aab",), "a", "a", "a", "b", note="aab begins at the second a"),
                streamed(("abab",), "aba", "bab"),
                streamed(("ab", "xy"), "a", "x", "y"),
                streamed(("STOP", "END"), "S", "E", "N", "D"),
                streamed(("END",), "E", "E", "N", "E", "N", "D"),
                streamed(("日本",), b"\xe6\x97\xa5", b"\xe6\x9c", b"\xac", "a"),
                streamed(("日本",), b"\xe6\x97\xa5", b"\xe6\x9c", b"\xa9", "a"),
                by_character(("END",), "an EN, an END, x"),
                streamed(("\nThe next question:",), "yes\nThe next ques", "tion", ": b"),
                by_character(("a much longer string to stop at",), "so a much longer string to stop at"),
            ],
        ),
        Property(
            "No more is held back than that",
            "Text that waits without a reason makes the stream slow.",
            [
                streamed(("END",), "abc", "d"),
                streamed(("a long stop string",), "Once upon", " time", " a"),
                streamed(("END",), "aE", "b", "c"),
                streamed(("END",), "END "[:2], "Ea", "b"),
                streamed(("xyz", "END"), "y", "z", "N", "D"),
                streamed(("aab",), "ab", "b"),
                streamed(("STOP",), "OP", "TOP", "P"),
                streamed(("abcab",), "abc", "abx"),
            ],
        ),
        Property(
            "With several stop strings the longest end that may begin one is held back",
            "A shorter one would send what belongs to the longer.",
            [
                streamed(("abc", "bd"), "ab", "c"),
                streamed(("bd", "abc"), "ab", "c"),
                streamed(("abc", "bd"), "ab", "d", "x"),
                streamed(("END", "NDx"), "EN", "D"),
                streamed(("abcd", "c"), "ab", "c", "d"),
                streamed(("abcd", "c"), "abcd", note="both are in the text now; abcd begins earlier"),
                streamed(("aab", "ax"), "aa", "x"),
            ],
        ),
        Property(
            "`finish` returns what was held back, and nothing after a stop string",
            "No token follows, so the beginning of a stop string is only text.",
            [
                streamed(("END",), "E"),
                streamed(("END",), "the EN"),
                streamed(("END", "xy"), "a", "x"),
                streamed(("END",), "a", "b"),
                streamed(("END",), "a ENDE"),
                streamed(("END",), "END", "EN"),
                streamed(("END",), "END", b"\xc3"),
                streamed(("END",), "a END", b"\xe6\x97"),
                streamed(("END",), b"END\xc3", note="the half character stands after the stop string"),
                streamed((".",), "a.", "b", b"\xf0"),
                streamed(("END",)),
            ],
        ),
        Property(
            "Two answers do not share anything",
            "A server writes many answers at a time.",
            [
                two_streams((0, "E"), (1, "ND"), (0, "x")),
                two_streams((0, "a END"), (1, "b")),
                two_streams((0, b"\xc3"), (1, "b"), (0, b"\xa9")),
                two_streams((0, "EN"), (1, "EN"), (0, "D"), (1, "T")),
            ],
        ),
    ],
    mistakes=[*RETURNS_NOTHING, *MISTAKES],
    hints=[
        'Two things wait between calls: bytes of a character, for which `codecs.getincrementaldecoder("utf-8")(errors='
        '"replace")` makes an object whose `decode(data)` keeps them, and text that may begin a stop string.',
        "In `push`: the text is what was held and what is new. Look for stop strings in that, since one may be cut "
        "over two pieces. `min` of the places where they begin is where the answer ends.",
        "Otherwise: for each stop string and each n from 1 to `len(stop) - 1`, does the text end with `stop[:n]`? Hold "
        "back the largest such n, and send the rest.",
        '`finish` returns the held text and `decoder.decode(b"", final=True)`, or "" after a stop string.',
    ],
    rights=[StopStream, StreamByStates, StreamByWholeText],
    why="Only the held text and the new piece are looked at, so a token costs the same however long the answer is. "
    "The engine's `Detokenizer` does this for each sequence; in vLLM it is the `IncrementalDetokenizer`.",
)
