"""The exercise 16.cancel: what a front end does when a client hangs up, at every stage of its request."""

import queue

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .cancel_between import BETWEEN
from .cancel_game import serve_in_turns
from .cancel_mistakes import MISTAKES
from .solutions.cancel import FrontEnd


class FrontEndOfTwoQueues:
    """Those who come and those who go have a queue each."""

    def __init__(self, engine):
        self.engine, self.coming, self.going = engine, queue.SimpleQueue(), queue.SimpleQueue()
        self.by_id = {}

    def connect(self, client, request):
        self.coming.put((client, request))

    def hang_up(self, client):
        self.going.put(client)

    def num_open(self):
        return len(self.by_id)

    def turn(self):
        gone = taken(self.going)  # first: one that comes and goes meanwhile is seen to come and go later
        coming = taken(self.coming)
        for request_id in [key for key, client in self.by_id.items() if client in gone]:
            del self.by_id[request_id]
            self.engine.abort(request_id)
        for client, request in coming:
            if client not in gone:
                self.by_id[self.engine.add_request(request)] = client
        if self.engine.has_unfinished():
            for output in self.engine.step():
                self.give(output)

    def give(self, output):
        client = self.by_id.get(output.request_id)
        if client is None:
            return
        is_there = True
        try:
            client.send(output)
        except ConnectionError:
            is_there = False
        if output.finished or not is_there:
            del self.by_id[output.request_id]
        if output.finished and is_there:
            client.close()
        if not output.finished and not is_there:
            self.engine.abort(output.request_id)


def taken(inbox):
    found = []
    while not inbox.empty():
        found.append(inbox.get())
    return found


class FrontEndOfStates:
    """A state for each client: new, open or over."""

    def __init__(self, engine):
        self.engine, self.messages, self.state = engine, [], {}

    def connect(self, client, request):
        self.messages.append((client, request))

    def hang_up(self, client):
        self.messages.append((client,))

    def num_open(self):
        return sum(isinstance(one, str) for one in self.state.values())

    def turn(self):
        count = len(self.messages)
        messages = self.messages[:count]
        del self.messages[:count]
        gone = {message[0] for message in messages if len(message) == 1}
        for client in gone:
            request_id = self.state.pop(client, None)
            if request_id is not None:
                self.engine.abort(request_id)
        for client, request in [message for message in messages if len(message) == 2]:
            if client not in gone:
                self.state[client] = self.engine.add_request(request)
        if not self.engine.has_unfinished():
            return
        for output in self.engine.step():
            for client in [one for one, request_id in self.state.items() if request_id == output.request_id]:
                try:
                    client.send(output)
                except ConnectionError:
                    self.state.pop(client)
                    if not output.finished:
                        self.engine.abort(output.request_id)
                else:
                    if output.finished:
                        self.state.pop(client)
                        client.close()


def script(*lines, beside=False, note=""):
    """The Trial of a script of serve_in_turns, whose lines are "; "-separated here, "turn*3" for three turns."""
    steps = []
    for line in "; ".join(lines).split("; "):
        name, _, times = line.partition("*")
        steps += [name] * int(times or 1)
    more = ", beside=True" if beside else ""
    story = ["from course_lib.practice.play import serve_in_turns", f"serve_in_turns(FrontEnd, {steps}{more})"]
    size = 10 * len(steps) + 200 * beside
    return Trial(story, lambda answer: serve_in_turns(answer, steps, beside=beside), note=note, size=size)


CANCEL = Exercise(
    id="16.cancel",
    title="A client hangs up",
    name="FrontEnd",
    cases="scripts",
    properties=[
        Property(
            "Requests are given to the engine in their order, and each client gets its outputs and is closed",
            "Everything else stands on this.",
            [
                script("turn"),
                script("a asks for 1; turn"),
                script("a asks for 2; turn*3"),
                script("a asks for 2; b asks for 1; turn*2"),
                script("b asks for 1; a asks for 2; c asks for 1; turn*3"),
                script("a asks for 2; turn; b asks for 2; turn*3"),
            ],
        ),
        Property(
            "`connect` and `hang_up` do not touch the engine, and `turn` takes all that is in the inbox",
            "The event loop must not wait for a step of the engine, and all connections wait with it.",
            [
                script("a asks for 3; b asks for 3; turn"),
                script("a asks for 3; turn; a hangs up; b asks for 1; turn"),
                script("a asks for 3; b asks for 3; turn; a hangs up; b hangs up; turn"),
                script("a asks for 2; b asks for 2; c asks for 1; turn*2"),
            ],
        ),
        Property(
            "The engine does a step only where something is unfinished, one in each turn",
            "A step without requests costs time for nothing.",
            [
                script("turn*2"),
                script("a asks for 1; turn*3"),
                script("a asks for 3; a hangs up; turn*2"),
                script("a hangs up; turn"),
            ],
        ),
        Property(
            "A request that runs is aborted once, before the next step, and its client gets nothing any more",
            "Its blocks are free within a step. A last output of the request may still come.",
            [
                script("a asks for 5; turn; a hangs up; turn"),
                script("a asks for 5; turn; a hangs up; turn*3"),
                script("a asks for 5; b asks for 3; turn; a hangs up; turn*3"),
                script("a asks for 5; b asks for 3; turn; b hangs up; turn; a hangs up; turn*2"),
            ],
        ),
        Property(
            "A request that waits in the engine is aborted once, too",
            "Two requests run at a time here, so a third one waits.",
            [
                script("a asks for 4; b asks for 4; c asks for 4; turn; c hangs up; turn*2"),
                script("a asks for 2; b asks for 2; c asks for 2; turn; c hangs up; turn*3"),
                script("a asks for 3; b asks for 3; c asks for 2; d asks for 1; turn; c hangs up; turn*5"),
            ],
        ),
        Property(
            "A request whose client hung up before `turn` saw it is never given to the engine",
            "Nobody waits for it.",
            [
                script("a asks for 3; a hangs up; turn"),
                script("a asks for 3; a hangs up; turn*2"),
                script("a asks for 3; b asks for 2; a hangs up; turn*3"),
                script("a asks for 3; b asks for 1; b hangs up; c asks for 1; turn*3"),
            ],
        ),
        Property(
            "For a request that has finished nothing is done",
            "The client may close the connection after the last token: most do.",
            [
                script("a asks for 1; turn; a hangs up; turn"),
                script("a asks for 2; turn*2; a hangs up; turn*2"),
                script("a asks for 1; b asks for 3; turn; a hangs up; turn*2"),
                script("a asks for 1; turn; a hangs up; a hangs up; turn"),
            ],
        ),
        Property(
            "A second hang-up does nothing, and neither does one without a request",
            "Two places of a server may notice that a client is gone.",
            [
                script("a asks for 5; turn; a hangs up; a hangs up; turn"),
                script("a asks for 5; turn; a hangs up; turn; a hangs up; turn"),
                script("a asks for 5; b asks for 4; turn; a hangs up; turn; a hangs up; turn*2"),
                script("a asks for 2; a hangs up; a hangs up; turn"),
                script("b hangs up; a asks for 2; turn*2"),
                script("a asks for 2; turn; b hangs up; turn"),
            ],
        ),
        Property(
            "What comes into the inbox while the engine computes is not lost: it is done in the next turn",
            "The event loop goes on meanwhile.",
            [
                script("a asks for 3; a hangs up in the step; turn*2"),
                script("a asks for 1; a hangs up in the step; turn*2", note="it finishes in that step"),
                script("a asks for 2; b asks for 1 in the step; turn*3"),
                script("a asks for 4; turn; b asks for 2 in the step; a hangs up in the step; turn*3"),
                script("a asks for 2; b asks for 2 in the step; turn; b hangs up; turn*2"),
            ],
        ),
        Property(
            "A request that connects while `turn` takes from the inbox is not lost",
            "The two threads run at the same time, and the other one may come between any two lines. What is copied "
            "first and cleared afterwards loses what came between: take one after the other with `popleft`.",
            BETWEEN,
        ),
        Property(
            "Where `send` raises ConnectionError the request is aborted in this turn, and the others get their outputs",
            "One broken connection must not stop the engine's thread.",
            [
                script("a asks for 5; turn; a breaks; turn*2"),
                script("a asks for 5; b asks for 3; turn; a breaks; turn*3"),
                script("a asks for 5; b asks for 3; a breaks; b breaks; turn*2"),
                script("a asks for 4; b asks for 4; a breaks in the step; turn*2"),
            ],
        ),
        Property(
            "Where `send` raises at the last output nothing is aborted",
            "The request has finished in this step.",
            [
                script("a asks for 1; a breaks; turn*2"),
                script("a asks for 2; turn; a breaks; turn*2"),
                script("a asks for 1; b asks for 2; a breaks; turn*2"),
            ],
        ),
        Property(
            "A hang-up after a `send` that failed does nothing",
            "The request is aborted already: once is enough.",
            [
                script("a asks for 5; turn; a breaks; turn; a hangs up; turn"),
                script("a asks for 5; a breaks in the step; a hangs up in the step; turn*2"),
                script("a asks for 5; b asks for 4; turn; a breaks; turn; a hangs up; turn*2"),
                script("a asks for 1; a breaks in the step; a hangs up in the step; turn*2"),
            ],
        ),
        Property(
            "Two front ends do not share anything",
            "Each has its own engine.",
            [
                script("turn", beside=True),
                script("a asks for 2; turn*3", beside=True),
                script("a asks for 5; turn; a hangs up; turn", beside=True),
            ],
        ),
    ],
    mistakes=[*RETURNS_NOTHING, *MISTAKES],
    hints=[
        "`connect` and `hang_up` append to `self.inbox`, a `deque`. `turn` takes from its left until it is empty. What "
        "is appended later stays for the next turn.",
        "Keep a dict from client to request id, of the requests that the engine works on. A hang-up of a client that "
        "is not in it does nothing. One that is in it is taken out with `pop`, and the id is aborted: so it cannot "
        "happen twice.",
        "Collect the new requests of a turn in a dict first. A hang-up takes its client out of it. What is left is "
        "given to the engine.",
        "Take a request out of the dict when its output has `finished` set. Put `client.send(output)` into `try`; in "
        "`except ConnectionError:` abort, unless it has finished, and go on with the next output.",
    ],
    rights=[FrontEnd, FrontEndOfTwoQueues, FrontEndOfStates],
    why="One dict says which requests are open, and everything that ends a request takes it out: so each ends once. "
    "Ours is `EngineThread` in `course_lib/serving`; in vLLM `AsyncLLM.abort` sends the ids to the engine's process.",
)
