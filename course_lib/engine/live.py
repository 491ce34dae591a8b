"""The unfinished requests of an engine, by the ids that the caller, the ledger and the trace know them by."""

from course_lib.errors import ParameterError

from .request import sequence_ids


class LiveRequests:
    """`requests`: request_id -> the Requests of its unfinished sequences. `sequences`: sequence id -> its Request.

    A sequence that is still part of another Request, because its prompt is not computed, has None in `sequences`.
    """

    def __init__(self):
        self.requests, self.sequences, self._next_id = {}, {}, 0

    def free_id(self, wanted, n):
        """An id that no unfinished request has: `wanted`, or the next number. Raises ParameterError if it is taken."""
        if wanted is not None and (not isinstance(wanted, str) or not wanted):
            raise ParameterError(
                f"request_id is {wanted!r}, but it is a name: text of at least one character. Leave it out to get one."
            )
        while (request_id := str(self._next_id) if wanted is None else wanted) in self.sequences:
            if wanted is not None:
                raise ParameterError(
                    f"A request {wanted!r} is being served already, and two of one name could not be told "
                    f"apart. Choose another request_id, or leave it out."
                )
            self._next_id += 1
        names = sequence_ids(request_id, n)
        if not self.sequences.keys().isdisjoint(names):
            raise ParameterError(
                f"With n={n} the sequences of request {request_id!r} are called {', '.join(names[1:])} in the "
                f"trace, and one of these names is being served already. Choose another request_id."
            )
        self._next_id += wanted is None
        return request_id

    def add(self, request):
        """A new request. Its ids are taken from now on."""
        self.requests[request.request_id] = [request]
        self.sequences.update(dict.fromkeys(sequence_ids(request.request_id, request.params.n)))
        self.sequences[request.request_id] = request

    def part(self, request):
        """A sequence that has left the Request it was part of: its prompt is computed."""
        self.sequences[request.request_id] = request
        self.requests[request.group_id].append(request)

    def drop(self, request):
        """A sequence that has ended. With the last one of its request, the ids are free again."""
        rest = self.requests[request.group_id]
        rest.remove(request)
        if not rest:
            del self.requests[request.group_id]
            for name in sequence_ids(request.group_id, request.params.n):
                del self.sequences[name]
