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
