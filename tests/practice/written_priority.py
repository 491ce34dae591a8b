"""Wrong answers to 11.priority as people write them; see written_otherwise.py."""

from course_lib.engine import Policy


class HighestFirst(Policy):
    def key(self, request):
        return (-request.priority, request.arrival)

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        return waiting.priority > running.priority


class ByArrival(Policy):
    def key(self, request):
        return request.arrival

    def order(self, running):
        return sorted(running, key=lambda r: (r.priority, r.arrival))

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class Polite(Policy):
    def key(self, request):
        return (request.priority, request.arrival)

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        pass


class Pushy(Policy):
    def key(self, request):
        return (request.priority, request.arrival)

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        return not waiting.priority > running.priority


class LeastFirst(Policy):
    def key(self, request):
        return (request.priority, request.arrival)

    def order(self, running):
        return sorted(running, key=self.key)[::-1]

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class InPlace(Policy):
    def key(self, request):
        return (request.priority, request.arrival)

    def order(self, running):
        return running.sort(key=self.key)

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class ShortestFirst(Policy):
    def key(self, request):
        return (request.priority, request.num_prompt_tokens)

    def order(self, running):
        return sorted(running, key=self.key)

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class Iterates(InPlace):
    """Right, except that it returns no list."""

    def order(self, running):
        return (r for r in sorted(running, key=self.key))


class OnlyTheFirst(InPlace):
    def order(self, running):
        return [min(running, key=self.key)] if running else []


class AsText(InPlace):
    def key(self, request):
        return f"{request.priority} {request.arrival}"

    def order(self, running):
        return sorted(running, key=lambda r: r.priority)


class Rest(Policy):
    """The methods that a subclass does not change are right."""

    def key(self, request):
        return request.priority, request.arrival

    def order(self, running):
        return sorted(running, key=lambda r: (r.priority, r.arrival))

    def outranks(self, waiting, running):
        return waiting.priority < running.priority


class Weighed(Rest):
    def key(self, request):
        return 1000 * request.priority + request.arrival


class Rounded(Rest):
    def key(self, request):
        return request.priority, round(request.arrival)


class InItsPlace(Rest):
    def order(self, running):
        running.sort(key=self.key)
        return running


class LevelsOnly(Rest):
    def order(self, running):
        return sorted(running, key=lambda r: r.priority)


class EarlierOutranks(Rest):
    def outranks(self, waiting, running):
        return self.key(waiting) < self.key(running)


class TwoLevels(Rest):
    """Only a request that is more important by two levels."""

    def outranks(self, waiting, running):
        return waiting.priority <= running.priority - 2


CASES = {
    "11.priority": [
        ("priority is reversed", HighestFirst),
        ("in the order of arrival", ByArrival),
        ("a running request is never preempted", Polite),
        ("equals preempt each other", Pushy),
        ("most important running request is preempted", LeastFirst),
        ("`order` returns nothing", InPlace),
        ("no part of the key", ShortestFirst),
        (None, Iterates),
        ("added up", Weighed),
        ("arrivals are rounded", Rounded),
        ("list of running requests is changed", InItsPlace),
        ("equal priority stay in the order", LevelsOnly),
        ("an equal preempts", EarlierOutranks),
        (None, TwoLevels),
        (None, OnlyTheFirst),
        ("compared as text", AsText),
    ]
}
