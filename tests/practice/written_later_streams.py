"""Answers to 16.sse and 16.stop_and_stream by one who never saw the checks; see written_serving.py."""

import codecs
import re

from course_lib.practice.lessons.l16.solutions.sse import ServerSentEvents
from course_lib.practice.lessons.l16.solutions.stop_and_stream import StopStream


class EventsByCharacters:
    def __init__(self):
        self.is_done = False
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.line = []
        self.data = None

    def write(self, text):
        return b"data: " + text.encode("utf-8").replace(b"\n", b"\ndata: ") + b"\n\n"

    def _end_line(self):
        line = "".join(self.line)
        self.line = []
        if line.endswith("\r"):
            line = line[:-1]
        if not line:
            data, self.data = self.data, None
            return data
        name, colon, value = line.partition(":")
        if colon and name == "data":
            if value[:1] == " ":
                value = value[1:]
            self.data = value if self.data is None else self.data + "\n" + value
        return None

    def read(self, chunk):
        result = []
        for char in self.decoder.decode(chunk):
            if self.is_done:
                break
            if char != "\n":
                self.line.append(char)
                continue
            data = self._end_line()
            if data == "[DONE]":
                self.is_done = True
            elif data is not None:
                result.append(data)
        return result


class StreamByPattern:
    def __init__(self, stop):
        self.is_stopped = False
        self.all = ""
        self.sent = 0
        self.bytes = b""
        self.pattern = re.compile("|".join(map(re.escape, stop))) if stop else None
        self.starts = {one[:k] for one in stop for k in range(1, len(one))}

    def push(self, data):
        if self.is_stopped:
            return ""
        self.bytes += data
        text, used = codecs.utf_8_decode(self.bytes, "replace", False)
        self.bytes = self.bytes[used:]
        self.all += text
        return self.give(False)

    def give(self, end):
        match = self.pattern.search(self.all, self.sent) if self.pattern else None
        if match:
            self.is_stopped = True
            until = match.start()
        elif end:
            until = len(self.all)
        else:
            until = next((at for at in range(self.sent, len(self.all)) if self.all[at:] in self.starts), len(self.all))
        out, self.sent = self.all[self.sent : until], until
        return out

    def finish(self):
        if self.is_stopped:
            return ""
        self.all += self.bytes.decode("utf-8", "replace")
        return self.give(True)


class EndsAtEmptyChunk(ServerSentEvents):
    def read(self, chunk):
        return super().read(chunk or b"\n\n")


class OneList(ServerSentEvents):
    def __init__(self):
        super().__init__()
        self.found = []

    def read(self, chunk):
        new = super().read(chunk)
        self.found.clear()
        self.found.extend(new)
        return self.found


class CallForEachLine(ServerSentEvents):
    def read(self, chunk):
        line, newline, rest = chunk.partition(b"\n")
        return super().read(line + newline) + (self.read(rest) if rest else [])


class DoneByLine(ServerSentEvents):
    def read(self, chunk):
        said = super().read(chunk)
        self.is_done = self.is_done or any("[DONE]" in text.split("\n") for text in said)
        return [] if self.is_done else said


class EndsAtEmptyToken(StopStream):
    def push(self, data):
        return super().push(data) if data or self.is_stopped else super().push(data) + self.decoder.decode(b"", True)


class FlushesAfterStop(StopStream):
    def finish(self):
        return self.decoder.decode(b"", True) if self.is_stopped else super().finish()


class CharacterFirst(StopStream):
    def finish(self):
        return "" if self.is_stopped else self.decoder.decode(b"", True) + super().finish()


class NoWayBack:
    def __init__(self, stop):
        self.is_stopped = False
        self.stop = stop
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.pending = ""

    def push(self, data):
        return self._chars(self.decoder.decode(data))

    def _chars(self, text):
        out = ""
        for char in text:
            if self.is_stopped:
                break
            self.pending += char
            if self.pending in self.stop:
                self.is_stopped = True
                self.pending = ""
            elif not any(one.startswith(self.pending) for one in self.stop):
                if any(one.startswith(char) for one in self.stop):
                    out, self.pending = out + self.pending[:-1], char
                    if char in self.stop:
                        self.is_stopped, self.pending = True, ""
                else:
                    out, self.pending = out + self.pending, ""
        return out

    def finish(self):
        if self.is_stopped:
            return ""
        return self._chars(self.decoder.decode(b"", True)) + self.pending


RIGHT = {"16.sse": [EventsByCharacters], "16.stop_and_stream": [StreamByPattern]}
CASES = {
    "16.sse": [
        (None, EndsAtEmptyChunk),
        ("changes in the next call", OneList),
        (None, CallForEachLine),
        (None, DoneByLine),
    ],
    "16.stop_and_stream": [
        (None, EndsAtEmptyToken),
        (None, FlushesAfterStop),
        (None, CharacterFirst),
        (None, NoWayBack),
    ],
}
