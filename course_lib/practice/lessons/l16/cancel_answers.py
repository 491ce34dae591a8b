"""Wrong answers to 16.cancel. Each is the right answer with one part replaced."""

from collections import deque


class Front:
    """The right answer in parts."""

    def __init__(self, engine):
        self.engine, self.inbox, self.ids = engine, deque(), {}

    def connect(self, client, request):
        self.inbox.append(("connect", client, request))

    def hang_up(self, client):
        self.inbox.append(("hang up", client, None))

    def num_open(self):
        return len(self.ids)

    def turn(self):
        self.take()
        self.step()

    def take(self):
        new = {}
        while self.inbox:
            self.message(new, *self.next())
        for client, request in new.items():
            self.add(client, request)

    def next(self):
        return self.inbox.popleft()

    def message(self, new, what, client, request):
        if what == "connect":
            new[client] = request
        elif client in new:
            self.gone_before(new, client)
        elif client in self.ids:
            self.gone(client)
        else:
            self.gone_unknown(client)

    def add(self, client, request):
        self.ids[client] = self.engine.add_request(request)

    def gone_before(self, new, client):
        del new[client]

    def gone(self, client):
        self.engine.abort(self.ids.pop(client))

    def gone_unknown(self, client):
        pass

    def step(self):
        if self.engine.has_unfinished():
            for output in self.engine.step():
                client = next((one for one, request_id in self.ids.items() if request_id == output.request_id), None)
                if client is not None:
                    self.give(client, output)

    def give(self, client, output):
        try:
            client.send(output)
        except ConnectionError:
            self.broken(client, output)
            return
        if output.finished:
            self.ended(client)

    def broken(self, client, output):
        request_id = self.ids.pop(client)
        if not output.finished:
            self.engine.abort(request_id)

    def ended(self, client):
        del self.ids[client]
        client.close()


def take_all(self, messages):
    new = {}
    for message in messages:
        self.message(new, *message)
    for client, request in new.items():
        self.add(client, request)


def copies_and_clears(self):
    messages = list(self.inbox)
    self.inbox.clear()
    take_all(self, messages)


def reads_and_replaces(self):
    take_all(self, self.inbox)
    self.inbox = deque()


def with_parts(**parts):
    """The right answer with some methods replaced."""
    return type("Front", (Front,), parts)


def forgets(self, client):
    """The client gets nothing any more, and the engine goes on."""
    del self.ids[client]


def adds_at_once(self, client, request):
    self.ids[client] = self.engine.add_request(request)


def aborts_at_once(self, client):
    if client in self.ids:
        self.engine.abort(self.ids.pop(client))


def keeps_id(self, client):
    """Aborts, and goes on to send what comes."""
    self.engine.abort(self.ids[client])


def closes_too(self, client):
    self.engine.abort(self.ids.pop(client))
    client.close()


def knows_all(self, client, request):
    self.ids[client] = self.engine.add_request(request)
    self.__dict__.setdefault("all", {})[client] = self.ids[client]


def aborts_known(self, client):
    """Aborts whatever the client ever asked for."""
    if client in self.__dict__.setdefault("all", {}):
        self.engine.abort(self.all[client])


def remembers(self, client):
    self.ids.pop(client)
    client.close()
    self.__dict__.setdefault("finished", set()).add(client)


def aborts_unless_finished(self, client):
    """Does not abort what has finished, but aborts again what was aborted."""
    if client in self.__dict__.get("all", {}) and client not in self.__dict__.setdefault("finished", set()):
        self.engine.abort(self.all[client])


def added_and_aborted(self, new, client):
    self.engine.abort(self.engine.add_request(new.pop(client)))


def added_anyway(self, new, client):
    pass


def one_message(self):
    new = {}
    if self.inbox:
        self.message(new, *self.next())
    for client, request in new.items():
        self.add(client, request)


def step_first(self):
    self.step()
    self.take()


def clears_after(self):
    new = {}
    for message in list(self.inbox):
        self.message(new, *message)
    for client, request in new.items():
        self.add(client, request)
    self.step()
    self.inbox.clear()


def always_steps(self):
    for output in self.engine.step():
        client = next((one for one, request_id in self.ids.items() if request_id == output.request_id), None)
        if client is not None:
            self.give(client, output)


def steps_to_the_end(self):
    while self.engine.has_unfinished():
        Front.step(self)


def steps_if_open(self):
    if self.ids:
        Front.step(self)


def uncaught(self, client, output):
    client.send(output)
    if output.finished:
        self.ended(client)


def stops_handing_out(self):
    if self.engine.has_unfinished():
        try:
            for output in self.engine.step():
                client = next((one for one, request_id in self.ids.items() if request_id == output.request_id), None)
                if client is not None:
                    self.now = client, output
                    client.send(output)
                    if output.finished:
                        self.ended(client)
        except ConnectionError:
            self.broken(*self.now)


def ignored(self, client, output):
    if output.finished:
        del self.ids[client]


def only_forgotten(self, client, output):
    del self.ids[client]


def aborted_always(self, client, output):
    self.engine.abort(self.ids.pop(client))


def aborted_later(self, client, output):
    if output.finished:
        del self.ids[client]
    else:
        self.hang_up(client)


def aborted_and_kept(self, client, output):
    """The id stays, so that the hang-up aborts it again."""
    if output.finished:
        del self.ids[client]
    else:
        self.engine.abort(self.ids[client])


def closed_after(self, client, output):
    Front.broken(self, client, output)
    client.close()


def never_closes(self, client):
    del self.ids[client]


def closes_always(self, client, output):
    Front.give(self, client, output)
    if not output.finished:
        client.close()


def closes_first(self, client, output):
    if output.finished:
        client.close()
        del self.ids[client]
    client.send(output)


def no_last_output(self, client, output):
    if output.finished:
        self.ended(client)
    else:
        Front.give(self, client, output)


def keeps_finished(self, client):
    self.__dict__.setdefault("more", []).append(self.ids.pop(client))
    client.close()


def counts_clients(self, client, request):
    Front.add(self, client, request)
    self.__dict__.setdefault("seen", []).append(client)


def numbers_of_its_own(self, client, request):
    """Counts the requests, and does not look at the id that the engine gave."""
    self.engine.add_request(request)
    self.count = self.__dict__.get("count", -1) + 1
    self.ids[client] = self.count
