"""Wrong answers to 10.continuous_loop that differ in what the caller sees of a step: outputs, requests, slots."""

import copy

from .continuous_loop_answers import Parts


class TellsEnds(Parts):
    """Returns the requests that have finished, and no others."""

    def told(self, outputs):
        return [one for one in outputs if one[2]]


class TellsRunning(Parts):
    """Leaves out the requests that have finished."""

    def told(self, outputs):
        return [one for one in outputs if not one[2]]


class ServesCopies(Parts):
    def add_request(self, request):
        super().add_request(copy.deepcopy(request))


class CountsNewest(Parts):
    """The new token counts as computed."""

    def append(self, request, token):
        super().append(request, token)
        request.num_computed_tokens = request.num_tokens

    def choose(self, waiting, running, *others):
        for request in running:  # or nothing would be left to compute
            request.num_computed_tokens = request.num_tokens - 1
        return super().choose(waiting, running, *others)


class SlotsForTheNext(Parts):
    """Appends a slot for the token that the step brings, too."""

    def slots(self, request, n):
        return n + 1


class SlotsForAll(Parts):
    """Appends slots for all tokens of the request in each step."""

    def slots(self, request, n):
        return request.num_tokens


class RemembersAborts(Parts):
    """Removes each request whose id was ever aborted."""

    def __init__(self, *given):
        super().__init__(*given)
        self.aborted = set()

    def abort(self, request_id):
        self.aborted.add(request_id)
        super().abort(request_id)

    def choose(self, waiting, running, *others):
        for request in [*waiting, *running]:
            if request.request_id in self.aborted:
                super().abort(request.request_id)
        return super().choose(self.waiting, self.running, *others)


class RemembersEnds(Parts):
    """Adds no request whose id was ever served to its end, or aborted."""

    def __init__(self, *given):
        super().__init__(*given)
        self.seen = set()

    def add_request(self, request):
        if request.request_id not in self.seen:
            super().add_request(request)
        self.seen.add(request.request_id)


class KeepsTables(Parts):
    """Makes one table for each id, and keeps it when its blocks are freed."""

    def __init__(self, *given):
        super().__init__(*given)
        self.made = {}

    def slots(self, request, n):
        name = request.request_id
        self.tables[name] = self.made.setdefault(name, self.tables[name])
        return n
