"""For 16.cancel: an engine of a few lines, clients that hang up, and what a front end makes of a script of them."""

from dataclasses import dataclass

from course_lib.errors import CourseError

MOST_RUNNING = 2


@dataclass
class Asked:
    """A request: whose it is, and how many tokens it gets. It is no key of a dict: two may be equal."""

    name: str
    num_tokens: int


@dataclass(frozen=True)
class Output:
    """What a step brought for one request."""

    request_id: str
    token: int
    finished: bool


class TinyEngine:
    """Two requests run at a time, and each gets one token a step. It writes down what is asked of it."""

    def __init__(self, log):
        self.log, self.in_turn, self.during_step = log, False, []
        self.requests, self.names, self.left, self.last, self.ran = {}, {}, {}, [], []

    def add_request(self, request):
        """Returns an id."""
        self._touched("add_request")
        request_id = f"request-{len(self.names) + 1}"
        self.names[request_id], self.requests[request_id] = request.name, [0, request.num_tokens]
        self.log(f"{request.name} is given to the engine")
        return request_id

    def abort(self, request_id):
        """Its last output comes with the next step."""
        self._touched("abort")
        name = self.names.get(request_id, f"the unknown id {request_id!r}")
        if request_id not in self.requests:
            self.log(f"abort of {name}, which {self.left.get(request_id, 'was never given to the engine')}")
            return False
        state = "runs" if request_id in self.ran else "waits"
        token, _ = self.requests.pop(request_id)
        self.left[request_id] = "was aborted before"
        self.last.append(Output(request_id, token, True))
        self.log(f"abort of {name}, which {state}")
        return True

    def has_unfinished(self):
        """Whether a step would bring anything."""
        return bool(self.requests or self.last)

    def step(self):
        """A list of outputs."""
        self._touched("step")
        outputs, self.last = self.last, []
        self.log("step" if self.requests or outputs else "step of an engine that has nothing to do")
        self.ran = list(self.requests)[:MOST_RUNNING]
        for request_id in self.ran:
            one = self.requests[request_id]
            one[0] += 1
            outputs.append(Output(request_id, one[0], one[0] == one[1]))
            if one[0] == one[1]:
                del self.requests[request_id]
                self.left[request_id] = "has finished"
        during, self.during_step = self.during_step, []
        for act in during:
            act()
        return outputs

    def _touched(self, what):
        if not self.in_turn:
            self.log(f"{what} is called outside of turn()")


class Client:
    """One connection. It writes down what it gets."""

    def __init__(self, name, log):
        self.name, self.log, self.is_gone, self.is_closed = name, log, False, False

    def send(self, output):
        """Raises a ConnectionError where the client is gone, of one kind or another."""
        if self.is_gone:
            self.log(f"send to {self.name} fails")
            kinds = BrokenPipeError, ConnectionResetError, ConnectionAbortedError, ConnectionError
            raise kinds[ord(self.name[0]) % len(kinds)](f"{self.name} is gone")
        after = " after close" if self.is_closed else ""
        self.log(f"{self.name} gets {'its last ' if output.finished else ''}token {output.token}{after}")

    def close(self):
        """The answer is whole."""
        self.log(f"{self.name} is closed{' again' if self.is_closed else ''}")
        self.is_closed = True

    def __repr__(self):
        return f"<client {self.name}>"


class Turns:
    """What happened in each turn, and how many requests are open after it.

    Aborts before the step may come in any order, and so may those after it: they stand last.
    """

    def __init__(self):
        self.lines = [[]]

    def write(self, what):
        """One thing that happened."""
        self.lines[-1].append(what)

    def end(self, num_open):
        """The turn is over."""
        line = self.lines[-1]
        at = next((at for at, what in enumerate(line) if what.startswith("step")), len(line))
        parts = (sorted(part, key=lambda what: what * what.startswith("abort")) for part in (line[:at], line[at:]))
        self.lines[-1] = [*sum(parts, []), f"{num_open} open"]
        self.lines.append([])

    def __eq__(self, other):
        return isinstance(other, Turns) and self.lines == other.lines

    def __repr__(self):
        rows = [f"turn {number}: {', '.join(line)}" for number, line in enumerate(self.lines, 1) if line]
        return "\n".join(rows) or "nothing happened"


def serve_in_turns(front_end, script, *, beside=False):
    """The Turns of a front end on a script, a list of lines:

    "a asks for 3"        a connects, with a request that gets 3 tokens
    "a hangs up"          hang_up(a)
    "a breaks"            a is gone, and nobody has noticed: send raises ConnectionError from now on
    "turn"                turn()
    "… in the step"       any of the first three happens while the engine computes its next step

    beside: whether another front end, of another engine, has an open request meanwhile, and one in its inbox.
    """
    turns, clients = Turns(), {}
    engine = TinyEngine(turns.write)
    front = front_end(engine)
    if beside:
        other = TinyEngine(lambda what: None)
        busy = front_end(other)
        busy.connect(Client("z", lambda what: None), Asked("z", 9))
        other.in_turn = True
        busy.turn()
        busy.connect(Client("y", lambda what: None), Asked("y", 9))

    def act(name, what):
        client = clients.setdefault(name, Client(name, turns.write))
        if what.startswith("asks for "):
            front.connect(client, Asked(name, int(what.rpartition(" ")[2])))
        elif what == "hangs up":
            front.hang_up(client)
        elif what == "breaks":
            client.is_gone = True
        else:
            raise CourseError(f"A client cannot do this: {what!r}. See serve_in_turns.")

    for line in script:
        if line == "turn":
            engine.in_turn = True
            front.turn()
            engine.in_turn = False
            turns.end(front.num_open())
            continue
        name, _, what = line.partition(" ")
        if what.endswith(" in the step"):
            what = what.removesuffix(" in the step")
            engine.during_step.append(lambda name=name, what=what: act(name, what))
        else:
            act(name, what)
    return turns
