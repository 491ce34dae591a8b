"""The game of 11.preempt, and the scheduler in which a learner's make_room runs."""

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine import Policy, Scheduler
from course_lib.engine.request import WAITING, Request
from course_lib.errors import IntegrityError, LedgerError
from course_lib.kvcache import BlockAllocator, KVCacheManager
from course_lib.practice.judge.outcome_text import a_kind
from course_lib.practice.judge.programs import NAMES, Game, Seen, Senseless, random_trials


class FCFS(Policy):
    """First come, first served, as a plain list with the next request first. A preempted request goes to the front."""

    def __init__(self):
        self.requests = []

    def push(self, request, *, returning=False):
        self.requests.insert(0 if returning else len(self.requests), request)

    def peek(self):
        return self.requests[0] if self.requests else None

    def pop(self):
        return self.requests.pop(0)

    def remove(self, request):
        self.requests.remove(request)

    def __len__(self):
        return len(self.requests)


def scheduler_with_preemption(make_room):
    """A class of schedulers for Engine(model, scheduler=...) that call make_room for each running request.

    Raises IntegrityError where make_room left a state in which an engine cannot go on.
    """

    class MakesRoom(Scheduler):
        def __init__(self, config, manager, *, trace=None):
            super().__init__(config, manager, policy=FCFS(), trace=trace)

        def _continue_running(self, step, order):
            running, served = list(self.running.values()), []
            while len(served) < len(running) and step.token_budget > 0:
                request = running[len(served)]
                n = min(request.num_tokens - request.num_computed_tokens, step.token_budget)
                before = [(one, one.num_computed_tokens) for one in running]
                try:
                    slots = make_room(request, n, running, self.waiting.requests, self.manager)
                except LedgerError as error:
                    raise self._other_than_short(error) from error
                gone = [(one, computed) for one, computed in before if one not in running]
                self._check(request, n, slots, [one for one, _ in gone], running, served)
                for one, computed in reversed(gone):
                    self._preempted(one, computed, step)
                step.is_short |= bool(gone)
                if slots is None:
                    return
                served.append(request)
                step.add(request, n)

        def _other_than_short(self, error):
            """The error itself, or another where the ledger refused a call: that is no lack of memory."""
            if "it was freed already" not in str(error):
                return error
            return IntegrityError(f"{error} A victim is freed once.").with_traceback(error.__traceback__)

        def _preempted(self, request, lost, step):
            """Updates what the scheduler keeps beside the two lists."""
            request.status = WAITING
            step.preempt(request, lost)
            del self.running[request.request_id]
            self.num_sequences -= request.num_sequences
            if self.trace is not None:
                self.trace.add("preempt", request=request.request_id, how="recompute", num_tokens=lost)

        def _check(self, request, n, slots, gone, running, served):
            for one in gone:
                if one in served:
                    raise IntegrityError(
                        f"{one.request_id} was preempted in a step in which it had its slots already: the model "
                        "would write into blocks of others. Preempt the last of `running`."
                    )
                if one in self.manager or one.num_computed_tokens or one not in self.waiting.requests:
                    raise IntegrityError(f"{one.request_id} no longer runs, but it {self._left(one)}.")
            if slots is None and request not in gone:
                raise IntegrityError(f"make_room returned None for {request.request_id}, which still runs.")
            if slots is not None and (request in gone or running[: len(served) + 1] != [*served, request]):
                raise IntegrityError(
                    f"make_room returned slots for {request.request_id}, which is no longer at its place in `running`."
                )
            held = self.manager.table(request).num_tokens if request in self.manager else 0
            if slots is not None and held != request.num_computed_tokens + n:
                raise IntegrityError(
                    f"{request.request_id} has {request.num_computed_tokens} computed tokens and slots for "
                    f"{held}; it needs slots for {n} more."
                )

        def _left(self, request):
            if request in self.manager:
                return "still holds its blocks: call manager.free(victim)"
            if request.num_computed_tokens:
                return f"counts {request.num_computed_tokens} computed tokens whose blocks are freed"
            return "does not wait either: it will never be served again"

    return MakesRoom


class Room:
    """A small memory with running and waiting requests, to run a failing program by hand. `print(room)` shows it."""

    def __init__(self, make_room, num_blocks, block_size):
        self.make_room, self.manager = (
            make_room,
            KVCacheManager(BlockAllocator(num_blocks, block_size), prefix_caching=False),
        )
        self.running, self.waiting, self.requests, self.names = [], [], [], iter(NAMES)

    def run(self, prompt):
        """A new request runs; its prompt is computed."""
        request = self._new(prompt)
        if self.manager.allocate_slots(request, prompt) is None:
            raise LedgerError(f"There are not enough free blocks for a prompt of {prompt} tokens.")
        request.num_computed_tokens = prompt
        self.running.append(request)
        return request

    def wait(self, prompt):
        """A new request waits after all others."""
        self.waiting.append(self._new(prompt))
        return self.waiting[-1]

    def _new(self, prompt):
        self.requests.append(Request(next(self.names), [0] * prompt, SamplingParams(max_tokens=99)))
        return self.requests[-1]

    def write(self, request, n):
        """A running request gets n more tokens, and make_room allocates slots for them."""
        request.token_ids += [0] * n
        slots = self.make_room(request, n, self.running, self.waiting, self.manager)
        if slots is not None:
            request.num_computed_tokens += n
        return slots

    def finish(self, request):
        """A running request ends."""
        self.running.remove(request)
        self.manager.free(request)

    def __str__(self):
        def said(request, *, runs):
            written = request.num_tokens - request.num_prompt_tokens
            held = self.manager.table(request).num_tokens if request in self.manager else 0
            count = f"{request.num_prompt_tokens}+{written}" if written else request.num_tokens
            facts = [f"{count} token{'s' * (count != 1)}"]
            facts += [f"{request.num_computed_tokens} computed"] * (
                not runs or request.num_computed_tokens != request.num_tokens
            )
            facts += [f"slots for {held}"] * (held != (request.num_computed_tokens if runs else 0))
            return f"{request.request_id}: {', '.join(facts)}"

        allocator = self.manager.allocator
        lines = [f"running {said(request, runs=True)}" for request in self.running] or ["no request runs"]
        lines += [f"waiting {said(request, runs=False)}" for request in self.waiting] or ["no request waits"]
        return "\n".join([*lines, f"{allocator.num_free} of {allocator.num_blocks} blocks free"])

    __repr__ = __str__


class Preempting(Game):
    """Programs on a Room. A second Room follows the rule by counting blocks, and is compared with it."""

    opening = (
        "from course_lib.practice.play import Room",
        "room = Room(make_room, num_blocks={num_blocks}, block_size={block_size})",
    )
    lines = {
        "run": "{0} = room.run(prompt={1})",
        "wait": "{0} = room.wait(prompt={1})",
        "write": "room.write({0}, {1})",
        "finish": "room.finish({0})",
    }
    least = {"run": 1, "wait": 1, "write": 1, "num_blocks": 1, "block_size": 1}
    fewest = 0
    """With fewer running requests, a step that is short of memory is left out: it would test another property."""

    def __init__(self, answer, num_blocks, block_size):
        self.room, self.right = Room(answer, num_blocks, block_size), Room(by_the_rule, num_blocks, block_size)
        self.by_name, self.size, self.num_blocks = {}, block_size, num_blocks

    def run(self, name, prompt):
        if name in self.by_name or -(-prompt // self.size) > self.right.manager.allocator.num_free:
            raise Senseless
        self.by_name[name] = self.room.run(prompt), self.right.run(prompt)
        return self._seen("")

    def wait(self, name, prompt):
        if name in self.by_name:
            raise Senseless
        self.by_name[name] = self.room.wait(prompt), self.right.wait(prompt)
        return self._seen("")

    def write(self, name, n):
        if name not in self.by_name or self.by_name[name][1] not in self.right.running:
            raise Senseless
        mine, right = self.by_name[name]
        if len(self.right.running) > 1 and -(-(right.num_tokens + n) // self.size) > self.num_blocks:
            raise Senseless  # an engine refuses such a request
        if len(self.right.running) < self.fewest and self._blocks(right, n) > self.right.manager.allocator.num_free:
            raise Senseless
        expected = self._called(self.right, right, n)
        got = self._called(self.room, mine, n)
        return self._seen(got, expected)

    def _blocks(self, request, n):
        """How many new blocks n more tokens need."""
        table = self.right.manager.table(request)
        return -(-(table.num_tokens + n) // self.size) - len(table.block_ids)

    def finish(self, name):
        if name not in self.by_name or self.by_name[name][1] not in self.right.running:
            raise Senseless
        mine, right = self.by_name[name]
        self.room.finish(mine)
        self.right.finish(right)
        return self._seen("")

    def _called(self, room, request, n):
        """What make_room returned or raised, in words."""
        try:
            slots = room.write(request, n)
        except LedgerError as error:
            return "LedgerError", str(error)
        if slots is None:
            return "returns None"
        if type(slots) is not list:
            return f"returns {a_kind(slots)}"
        return f"returns {len(slots)} slot{'s' * (len(slots) != 1)}"

    def _seen(self, got, expected=""):
        """The lists, and what make_room returned. The program ends where one of them is wrong."""
        if isinstance(expected, tuple):  # no other request can be preempted: the engine stops here
            if not isinstance(got, tuple):
                return Seen(f"{got}\n{self.room}", ends=True)
            changed = "but something has changed" if str(self.room) != str(self.right) else "and nothing has changed"
            return Seen(f"LedgerError, {changed}\n{self.room}", ends=True)
        if isinstance(got, tuple):
            return Seen("LedgerError", ": ".join(got), ends=True)
        text = f"make_room {got}\n{self.room}" if got else str(self.room)
        return Seen(text, ends=got != expected or str(self.room) != str(self.right))


class WithOthers(Preempting):
    """Memory is short only where another request runs too."""

    fewest = 2


class Roomy(Preempting):
    """Memory is never short."""

    fewest = 100


def by_the_rule(request, n, running, waiting, manager):
    """What 11.preempt asks for, by counting blocks: it first finds how many requests must be preempted."""
    blocks, size = {one: len(manager.table(one).block_ids) for one in running}, manager.allocator.block_size
    missing = -(-(manager.table(request).num_tokens + n) // size) - blocks[request] - manager.allocator.num_free
    if missing > 0 and len(running) == 1:
        raise LedgerError("no other request can be preempted")
    keep = len(running)
    while missing > 0 and keep > running.index(request):
        keep -= 1
        missing -= blocks[running[keep]]
    victims, itself = running[keep:], request in running[keep:]
    del running[keep:]
    for victim in victims:
        manager.free(victim)
        victim.num_computed_tokens = 0
    waiting[:0] = victims
    return None if itself else manager.allocate_slots(request, n)


def draw(chance, names, setup):
    """A step of a random program; see programs.random_trials."""
    kind = chance.choice(("run", "run", "wait", "write", "write", "write", "finish")) if names else "run"
    if kind in ("run", "wait") and len(names) < 8:
        return kind, NAMES[len(names)], chance.randint(1, 5)
    name = chance.choice(names) if names else "a"
    return ("finish", name) if kind == "finish" else ("write", name, chance.randint(1, 4))


SETUPS = [{"num_blocks": n, "block_size": size} for n, size in ((4, 2), (6, 2), (3, 4), (8, 1), (5, 3))]


def played(reference, number, seed, lengths=(4, 14)):
    return random_trials(Preempting, reference, draw, number, seed=seed, setups=SETUPS, lengths=lengths)
