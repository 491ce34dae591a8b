"""Wrong answers to 16.admission. Each is the right answer with one part replaced."""

import math


class Door:
    """The right answer in parts."""

    def __init__(self, most_waiting, token_budget, tokens_per_s):
        self.most_waiting, self.token_budget, self.tokens_per_s = most_waiting, token_budget, tokens_per_s
        self.running, self.waiting = {}, {}

    def arrive(self, request_id, num_tokens):
        if self.is_too_large(num_tokens):
            return "refuse", None
        if self.may_start(num_tokens):
            self.running[request_id] = num_tokens
            return "run", None
        if self.may_wait():
            self.waiting[request_id] = num_tokens
            return "wait", None
        return self.refused(request_id, num_tokens)

    def is_too_large(self, num_tokens):
        return num_tokens > self.token_budget

    def may_start(self, num_tokens):
        return not self.waiting and self.fits(num_tokens)

    def fits(self, num_tokens):
        return self.missing(num_tokens) <= 0

    def missing(self, num_tokens):
        return self.used() + num_tokens - self.token_budget

    def used(self):
        return sum(self.running.values())

    def may_wait(self):
        return len(self.waiting) < self.most_waiting

    def refused(self, request_id, num_tokens):
        return "refuse", self.seconds(num_tokens)

    def seconds(self, num_tokens):
        return math.ceil(self.missing(self.next_one(num_tokens)) / self.tokens_per_s)

    def next_one(self, num_tokens):
        return next(iter(self.waiting.values()), num_tokens)

    def leave(self, request_id):
        self.take_out(request_id)
        return self.start(self.waiting)

    def take_out(self, request_id):
        self.running.pop(request_id, None)
        self.waiting.pop(request_id, None)

    def start(self, order):
        started = []
        for other in list(order):
            if not self.fits(self.waiting[other]):
                break
            started.append(other)
            self.running[other] = self.waiting.pop(other)
        return started


def with_parts(**parts):
    """The right answer with some methods replaced."""
    return type("Door", (Door,), parts)


def starts_all_that_fit(self, order):
    started = []
    for other in list(order):
        if self.fits(self.waiting[other]):
            started.append(other)
            self.running[other] = self.waiting.pop(other)
    return started


def starts_one(self, order):
    return Door.start(self, list(order)[:1])


def newest_first(self, order):
    return Door.start(self, list(order)[::-1])


def smallest_first(self, order):
    return Door.start(self, sorted(order, key=self.waiting.get))


def starts_without_counting(self, order):
    """Looks at what each needs by itself, and not at what the others before it took."""
    found = []
    for other in list(order):
        if not self.fits(self.waiting[other]):
            break
        found.append(other)
    for other in found:
        self.running[other] = self.waiting.pop(other)
    return found


def keeps_them_waiting(self, order):
    """Starts them, and leaves them in the queue."""
    started = []
    for other in list(order):
        if other in self.running:
            continue
        if not self.fits(self.waiting[other]):
            break
        started.append(other)
        self.running[other] = self.waiting[other]
    return started


def running_only(self, request_id):
    self.running.pop(request_id, None)


def must_be_there(self, request_id):
    if request_id in self.waiting:
        del self.waiting[request_id]
    else:
        del self.running[request_id]


def starts_only_after_running(self, request_id):
    if self.waiting.pop(request_id, None) is not None:
        return []
    self.running.pop(request_id, None)
    return self.start(self.waiting)


def gives_back_again(self, request_id):
    """Remembers what each needs, and gives it back whenever it leaves."""
    known = self.__dict__.setdefault("known", {})
    known.update(self.running)
    known.update(self.waiting)
    if self.waiting.pop(request_id, None) is None:
        self.extra = self.__dict__.get("extra", 0)
        if self.running.pop(request_id, None) is None:
            self.extra += known.get(request_id, 0)


def refused_counts(self, request_id, num_tokens):
    seconds = self.seconds(num_tokens)
    self.waiting[request_id] = num_tokens
    return "refuse", seconds


def never_refused_for_good(self, num_tokens):
    return False


def gives_back_what_waits(self, request_id):
    """Gives back what a request needs, though it only waited."""
    self.extra = self.__dict__.get("extra", 0) + self.waiting.pop(request_id, 0)
    self.running.pop(request_id, None)


def used_less_what_was_given_back(self):
    return sum(self.running.values()) - self.__dict__.get("extra", 0)


def starts_into_one_list(self, order):
    """The same list in each call."""
    found = self.__dict__.setdefault("found", [])
    found[:] = Door.start(self, order)
    return found
