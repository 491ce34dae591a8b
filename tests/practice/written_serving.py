"""Wrong answers to lesson 16 as people write them; see written_otherwise.py. RIGHT: other right ones."""

import codecs
import math
import re
from collections import deque

from course_lib.practice.lessons.l16.solutions.admission import Admission
from course_lib.practice.lessons.l16.solutions.cancel import FrontEnd
from course_lib.practice.lessons.l16.solutions.sse import ServerSentEvents
from course_lib.practice.lessons.l16.solutions.stop_and_stream import StopStream

# --- 16.sse


class Regexes(ServerSentEvents):
    """A right one: keeps all bytes that no event has used up, and finds events by a pattern."""

    def __init__(self):
        self.is_done, self.waiting = False, b""

    def read(self, chunk):
        self.waiting += chunk
        found = []
        while event := re.match(rb"(?:[^\n]*[^\r\n][^\n]*\n)*\r?\n", self.waiting):
            self.waiting = self.waiting[event.end() :]
            values = re.findall(r"^data:(?: |)([^\n\r]*)", event[0].decode(), re.M)
            if values and "\n".join(values) == "[DONE]":
                self.is_done = True
            elif values and not self.is_done:
                found.append("\n".join(values))
        return found


class SplitsAtTwoLines(ServerSentEvents):
    def read(self, chunk):
        *blocks, self.rest = (self.rest + chunk).split(b"\n\n")
        found = []
        for block in blocks:
            lines = [line for line in block.decode().split("\n") if line.startswith("data:")]
            text = "\n".join(line[5:].removeprefix(" ") for line in lines)
            self.is_done = self.is_done or text == "[DONE]"
            if lines and not self.is_done:
                found.append(text)
        return found


class NoRest(ServerSentEvents):
    def read(self, chunk):
        return [
            line[6:]
            for line in chunk.decode(errors="ignore").split("\n")
            if line.startswith("data: ") and "[" not in line
        ]


class StripsLines(ServerSentEvents):
    def read(self, chunk):
        self.rest += chunk
        found = []
        while b"\n" in self.rest:
            line, _, self.rest = self.rest.partition(b"\n")
            line = line.decode().strip()
            if line.startswith("data:"):
                self.data.append(line[5:].strip())
            elif not line and self.data:
                text, self.data = "\n".join(self.data), []
                self.is_done |= text == "[DONE]"
                if not self.is_done:
                    found.append(text)
        return found


# --- 16.stop_and_stream


class ByPartition:
    """A right one: the earliest stop string by min, and what is held by looking from every place to the end."""

    def __init__(self, stop):
        self.stops, self.tail, self.is_stopped = stop, "", False
        self.utf8 = codecs.lookup("utf-8").incrementaldecoder("replace")

    def push(self, data):
        if self.is_stopped:
            return ""
        self.tail += self.utf8.decode(data)
        hits = {self.tail.partition(stop)[0] for stop in self.stops if stop in self.tail}
        if hits:
            self.is_stopped, self.tail = True, ""
            return min(hits, key=len)
        hold = [at for at in range(len(self.tail)) if any(stop.startswith(self.tail[at:]) for stop in self.stops)]
        cut = hold[0] if hold else len(self.tail)
        out, self.tail = self.tail[:cut], self.tail[cut:]
        return out

    def finish(self):
        return "" if self.is_stopped else self.tail + self.utf8.decode(b"", True)


class StopInPiece(StopStream):
    def push(self, data):
        text = data.decode(errors="ignore")
        if self.is_stopped:
            return ""
        for stop in self.stop:
            if stop in text:
                self.is_stopped = True
                return text.split(stop)[0]
        return text


class HoldsLongest(StopStream):
    def push(self, data):
        if self.is_stopped:
            return ""
        self.held += self.decoder.decode(data)
        places = [self.held.find(stop) for stop in self.stop if stop in self.held]
        if places:
            self.is_stopped = True
            return self.held[: min(places)]
        keep = max(map(len, self.stop), default=1) - 1
        cut = max(0, len(self.held) - keep)
        out, self.held = self.held[:cut], self.held[cut:]
        return out


class FinishIsEmpty(StopStream):
    def finish(self):
        return ""


# --- 16.cancel


class OneList:
    """A right one: requests as a list of [client, request id], messages in one deque."""

    def __init__(self, engine):
        self.engine, self.messages, self.open = engine, deque(), []

    def connect(self, client, request):
        self.messages.append((client, request))

    def hang_up(self, client):
        self.messages.append((client, None))

    def num_open(self):
        return len(self.open)

    def turn(self):
        waiting = []
        for _ in range(len(self.messages)):
            client, request = self.messages.popleft()
            if request is not None:
                waiting.append((client, request))
                continue
            waiting = [one for one in waiting if one[0] is not client]
            for one in [one for one in self.open if one[0] is client]:
                self.open.remove(one)
                self.engine.abort(one[1])
        self.open += [(client, self.engine.add_request(request)) for client, request in waiting]
        outputs = self.engine.step() if self.engine.has_unfinished() else ()
        broken = []
        for output in outputs:
            for one in [one for one in self.open if one[1] == output.request_id]:
                if output.finished:
                    self.open.remove(one)
                try:
                    one[0].send(output)
                except ConnectionError:
                    broken += [] if output.finished else [one]
                    continue
                if output.finished:
                    one[0].close()
        for one in broken:
            self.open.remove(one)
            self.engine.abort(one[1])


class AbortsInHangUp(FrontEnd):
    def hang_up(self, client):
        if client in self.ids:
            self.engine.abort(self.ids.pop(client))


class AbortsAll(FrontEnd):
    """Remembers every id that a client ever had."""

    def __init__(self, engine):
        super().__init__(engine)
        self.every = {}

    def turn(self):
        gone = [client for what, client, _ in self.inbox if what == "hang up" and client not in self.ids]
        for client in gone:
            if client in self.every:
                self.engine.abort(self.every[client])
        super().turn()
        self.every.update(self.ids)


class Ignores(FrontEnd):
    def hang_up(self, client):
        pass


# --- 16.admission


class TwoLists(Admission):
    """A right one: the running and the waiting as lists of pairs."""

    def __init__(self, most_waiting, token_budget, tokens_per_s):
        self.most, self.budget, self.rate, self.run, self.wait = most_waiting, token_budget, tokens_per_s, [], []

    def arrive(self, request_id, num_tokens):
        left = self.budget - sum(n for _, n in self.run)
        if num_tokens > self.budget:
            return "refuse", None
        if num_tokens <= left and not self.wait:
            self.run.append((request_id, num_tokens))
            return "run", None
        if len(self.wait) >= self.most:
            needed = self.wait[0][1] if self.wait else num_tokens
            seconds, rest = divmod(needed - left, self.rate)
            return "refuse", int(seconds) + (rest > 0)
        self.wait.append((request_id, num_tokens))
        return "wait", None

    def leave(self, request_id):
        self.run = [one for one in self.run if one[0] != request_id]
        self.wait = [one for one in self.wait if one[0] != request_id]
        started = []
        while self.wait and sum(n for _, n in self.run + self.wait[:1]) <= self.budget:
            self.run.append(self.wait.pop(0))
            started.append(self.run[-1][0])
        return started


class Overtakes(Admission):
    def leave(self, request_id):
        self.running.pop(request_id, None)
        self.waiting.pop(request_id, None)
        started = []
        for other in [*self.waiting]:
            if sum(self.running.values()) + self.waiting[other] <= self.token_budget:
                self.running[other] = self.waiting.pop(other)
                started.append(other)
        return started


class JumpsIn(Admission):
    def arrive(self, request_id, num_tokens):
        if sum(self.running.values()) + num_tokens <= self.token_budget:
            self.running[request_id] = num_tokens
            return "run", None
        return super().arrive(request_id, num_tokens)


class AlwaysOneSecond(Admission):
    def arrive(self, request_id, num_tokens):
        verdict, seconds = super().arrive(request_id, num_tokens)
        return verdict, seconds and 1


class OwnTokens(Admission):
    def arrive(self, request_id, num_tokens):
        verdict, seconds = super().arrive(request_id, num_tokens)
        if verdict == "refuse" and seconds is not None:
            seconds = math.ceil((sum(self.running.values()) + num_tokens - self.token_budget) / self.tokens_per_s)
        return verdict, seconds


RIGHT = {"16.sse": [Regexes], "16.stop_and_stream": [ByPartition], "16.cancel": [OneList], "16.admission": [TwoLists]}
CASES = {
    "16.sse": [
        ("`\\r` before a `\\n` stays", SplitsAtTwoLines),
        (None, NoRest),
        ("all spaces around the value", StripsLines),
    ],
    "16.stop_and_stream": [
        (None, StopInPiece),
        ("too much is held back", HoldsLongest),
        ("`finish` does not return", FinishIsEmpty),
    ],
    "16.cancel": [("calls the engine itself", AbortsInHangUp), (None, AbortsAll), ("is not told", Ignores)],
    "16.admission": [
        ("one that fits overtakes", Overtakes),
        ("new request that fits overtakes", JumpsIn),
        ("always the same", AlwaysOneSecond),
        ("for the refused request", OwnTokens),
    ],
}
