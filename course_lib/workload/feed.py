"""The requests of one or several workloads in the order of their arrival, those included that follow on an output.

Whoever serves a workload, the engine, a client of a server or the simulator, drives it with three calls:

    feed = Feed(workload, other_workload)
    for arrival in feed.due(now):               # all that have arrived
        ...                                     # serve it
    feed.finished(arrival, output_ids, now)     # the next turn, or the user's next request, is planned
    feed.next_at                                # when the next one arrives; None: none is known
"""

from heapq import heappop, heappush
from itertools import count

from course_lib.errors import ParameterError

from .arrivals import ClosedLoop, Trace
from .conversations import Conversation
from .workload import Arrival, Workload


class Feed:
    """One run of some workloads. Two feeds of the same workloads bring the same requests.

    `num_open`: requests that were handed out and have not finished. The run is over when that is 0 and `next_at` is
    None.
    """

    def __init__(self, *workloads):
        for workload in workloads:
            if not isinstance(workload, Workload):
                raise ParameterError(f"{workload!r} is no Workload. Pass one Workload for each client.")
        if len({(w.client, w.seed) for w in workloads}) < len(workloads):
            raise ParameterError(
                "Two workloads have the same client and the same seed, so they would send the same prompts. Give each "
                "its own client name, or its own seed."
            )
        self._streams = [_Stream(workload) for workload in workloads]
        self._heap, self._order, self.num_open = [], count(), 0
        for stream in self._streams:
            self._plan_first_of(stream)

    @property
    def next_at(self):
        """Seconds at which the next known request arrives, or None."""
        return self._heap[0][0] if self._heap else None

    @property
    def is_over(self):
        """Whether all has been handed out and has finished."""
        return not self._heap and not self.num_open

    def pop(self):
        """The next Arrival, or None if none is known."""
        if not self._heap:
            return None
        _, _, stream, arrival, follows = heappop(self._heap)
        if not follows:
            self._plan_first_of(stream)
        self.num_open += 1
        return arrival

    def due(self, now):
        """Lazily, all that have arrived at the time `now` and were not handed out yet."""
        while self._heap and self._heap[0][0] <= now:
            yield self.pop()

    def finished(self, arrival, output_ids, now):
        """A request has ended, with these tokens of output: what follows on it is planned.

        Call it also for one that failed, with what there is of the output; then its conversation goes on without.
        """
        self.num_open -= 1
        stream = next(stream for stream in self._streams if stream.workload is arrival.workload)
        following = stream.after(arrival, output_ids, now)
        if following is not None:
            self._push(stream, following, follows=True)

    def _plan_first_of(self, stream):
        arrival = stream.next_first()
        if arrival is not None:
            self._push(stream, arrival, follows=False)

    def _push(self, stream, arrival, *, follows):
        heappush(self._heap, (arrival.at, next(self._order), stream, arrival, follows))


class _Stream:
    """One workload as it goes on."""

    def __init__(self, workload):
        self.workload, self.num_started = workload, 0
        self._starts, self._prefixes, self._generator = self._first_times(), {}, None

    def _first_times(self):
        """(seconds, (prompt, output) lengths or None, client, user or None) of what comes by itself."""
        workload, arrivals = self.workload, self.workload.arrivals
        generator = workload.generator(-1)
        if isinstance(arrivals, Trace):
            for at, prompt, output, client in arrivals.rows():
                yield at, (prompt, output), client or workload.client, None
        elif isinstance(arrivals, ClosedLoop):
            pauses = [_pause(generator, arrivals.think_time) for _ in range(arrivals.users)]
            for user, at in sorted(enumerate(pauses), key=lambda one: one[1]):
                yield at, None, workload.client, user
        else:
            for at in arrivals.times(generator):
                yield at, None, workload.client, None

    def next_first(self):
        """The next Arrival that comes by itself, or None."""
        start = None if self._is_full() else next(self._starts, None)
        return None if start is None else self._start(*start)

    def after(self, arrival, output_ids, now):
        """The Arrival that comes because this one has ended, or None."""
        conversation = arrival.conversation
        if conversation.turns_left > 0:
            following = self._next_turn(arrival, output_ids, now)
            if following is not None:
                return following
        if conversation.user is None or self._is_full():
            return None
        at = now + _pause(conversation.generator, self.workload.arrivals.think_time)
        return self._start(at, None, self.workload.client, conversation.user)

    def _is_full(self):
        return self.workload.num_requests is not None and self.num_started >= self.workload.num_requests

    def _start(self, at, lengths, client, user):
        workload = self.workload
        if workload.duration is not None and at >= workload.duration:
            return None
        number = self.num_started
        self.num_started += 1
        generator = self._generator_of(number, is_kept=workload.conversations is not None or user is not None)
        turns = 1 if workload.conversations is None else workload.conversations.turns.draw(generator)
        prefix = self._prefix(generator)
        num_prompt, num_output = workload.lengths.draw(generator) if lengths is None else lengths
        num_prompt += len(prefix)
        if workload.context is not None:
            num_prompt = min(num_prompt, workload.context - 1)
            num_output = min(num_output, workload.context - num_prompt)
        own = workload.tokens(generator, max(0, num_prompt - len(prefix)))
        token_ids = (prefix + own)[:num_prompt]
        conversation = Conversation(generator, turns - 1, user)
        return Arrival(at, token_ids, num_output, client, workload.priority, number, 0, workload, conversation)

    def _generator_of(self, number, is_kept):
        """The random numbers of a request. is_kept: they are needed after its start, when others have started."""
        if is_kept or self._generator is None:
            made = self.workload.generator(number)
            self._generator = None if is_kept else made
            return made
        return self.workload.rewind(self._generator, number)

    def _prefix(self, generator):
        prefixes = self.workload.prefixes
        number = None if prefixes is None else prefixes.choose(generator)
        if number is None:
            return []
        if number not in self._prefixes:
            self._prefixes[number] = self.workload.prefix(number)
        return self._prefixes[number]

    def _next_turn(self, arrival, output_ids, now):
        workload, conversation = self.workload, arrival.conversation
        generator = conversation.generator
        conversation.turns_left -= 1
        at = now + _pause(generator, workload.conversations.think_time)
        num_own, num_output = workload.lengths.draw(generator)
        token_ids = [*arrival.token_ids, *output_ids, *workload.tokens(generator, num_own)]
        is_late = workload.duration is not None and at >= workload.duration
        if is_late or workload.context is not None and len(token_ids) + num_output > workload.context:
            return None
        return Arrival(
            at, token_ids, num_output, arrival.client, workload.priority, arrival.number, arrival.turn + 1, workload,
            conversation,
        )  # fmt: skip


def _pause(generator, mean):
    """Seconds that a user thinks: exponential, 0 where the mean is 0."""
    return float(generator.exponential(mean)) if mean else 0.0
