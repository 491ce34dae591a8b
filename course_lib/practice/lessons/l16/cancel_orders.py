"""More wrong answers to 16.cancel: what `turn` does comes in another order, or what is open is counted otherwise."""

from .cancel_answers import Front, with_parts


def asks_first(self):
    """Asks whether anything is unfinished before the new requests are given to the engine."""
    unfinished = self.engine.has_unfinished()
    self.take()
    if unfinished:
        self.step()


def outputs_of(self):
    """[(client, output)] of one step, of clients that are open."""
    outputs = self.engine.step()
    clients = {request_id: client for client, request_id in self.ids.items()}
    return [(clients[one.request_id], one) for one in outputs if one.request_id in clients]


def aborts_after(self):
    """Aborts the requests of clients that hung up once the step is done."""
    gone = self.__dict__.setdefault("leaving", [])
    if self.engine.has_unfinished():
        outputs = outputs_of(self)
        while gone:
            self.engine.abort(gone.pop(0))
        for client, output in outputs:
            self.give(client, output)


def leaves_later(self, client):
    self.__dict__.setdefault("leaving", []).append(self.ids.pop(client))


def all_steps_then_outputs(self):
    outputs = []
    while self.engine.has_unfinished():
        outputs += outputs_of(self)
    for client, output in outputs:
        if client in self.ids:
            self.give(client, output)


def closes_then_sends(self, client, output):
    if output.finished:
        client.close()
    try:
        client.send(output)
    except ConnectionError:
        self.broken(client, output)
        return
    if output.finished:
        del self.ids[client]


def adds_newest_first(self):
    new = {}
    while self.inbox:
        self.message(new, *self.next())
    for client, request in reversed(new.items()):
        self.add(client, request)


def aborted_and_never_forgotten(self, client, output):
    if not output.finished:
        self.engine.abort(self.ids[client])


def broken_still_counts(self, client, output):
    self.__dict__.setdefault("more", []).append(client)
    Front.broken(self, client, output)


def one_or_none(self):
    return int(self.engine.has_unfinished())


ASKS_FIRST = with_parts(turn=asks_first)
ABORTS_AFTER = with_parts(step=aborts_after, gone=leaves_later)
ALL_STEPS = with_parts(step=all_steps_then_outputs)
CLOSES_THEN_SENDS = with_parts(give=closes_then_sends)
NEWEST_FIRST = with_parts(take=adds_newest_first)
NEVER_FORGOTTEN = with_parts(broken=aborted_and_never_forgotten)
COUNTS_BROKEN = with_parts(
    num_open=lambda self: len(self.ids) + len(self.__dict__.get("more", [])), broken=broken_still_counts
)
ONE_OR_NONE = with_parts(num_open=one_or_none)
