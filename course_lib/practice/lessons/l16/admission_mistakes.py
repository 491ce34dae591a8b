"""The mistakes in 16.admission."""

import math

from course_lib.practice.judge.exercise import Mistake

from .admission_answers import (
    gives_back_again,
    gives_back_what_waits,
    keeps_them_waiting,
    must_be_there,
    never_refused_for_good,
    newest_first,
    refused_counts,
    running_only,
    smallest_first,
    starts_all_that_fit,
    starts_into_one_list,
    starts_one,
    starts_only_after_running,
    starts_without_counting,
    used_less_what_was_given_back,
    with_parts,
)

MISTAKES = [
    Mistake(
        "a request that fills the budget exactly does not start.",
        "The budget is what may be in use: `<=`.",
        (
            with_parts(fits=lambda self, num_tokens: self.missing(num_tokens) < 0),
            with_parts(is_too_large=lambda self, num_tokens: num_tokens >= self.token_budget),
        ),
    ),
    Mistake(
        "a request starts whenever the budget is not used up, whatever it needs.",
        "What runs and what comes, together, is at most the budget.",
        with_parts(fits=lambda self, num_tokens: self.used() < self.token_budget),
    ),
    Mistake(
        "tokens of waiting requests count as in use.",
        "Only requests that run use the budget.",
        with_parts(used=lambda self: sum(self.running.values()) + sum(self.waiting.values())),
    ),
    Mistake(
        "one request too many waits, or one too few.",
        "It waits where fewer than `most_waiting` do: with 0 none ever waits.",
        (
            with_parts(may_wait=lambda self: len(self.waiting) <= self.most_waiting),
            with_parts(may_wait=lambda self: len(self.waiting) < self.most_waiting - 1),
        ),
    ),
    Mistake(
        "the limit of the queue counts running requests, too.",
        "`most_waiting` is about those that wait.",
        with_parts(may_wait=lambda self: len(self.waiting) + len(self.running) < self.most_waiting),
    ),
    Mistake(
        "the queue has no limit.", "Beyond `most_waiting` a request is refused.", with_parts(may_wait=lambda self: True)
    ),
    Mistake(
        "nothing is refused for good.",
        "A request that needs more than the whole budget blocks the queue for ever, or its client tries for ever.",
        with_parts(is_too_large=never_refused_for_good),
    ),
    Mistake(
        "a new request that fits overtakes those that wait.",
        "It starts at once only where nobody waits.",
        with_parts(may_start=lambda self, num_tokens: self.fits(num_tokens)),
    ),
    Mistake(
        "of those that wait, one that fits overtakes one that does not.",
        "The first that does not fit ends the list: `break`, not `continue`.",
        with_parts(start=starts_all_that_fit),
    ),
    Mistake(
        "only one request starts when one leaves.",
        "A large one makes room for several small ones.",
        with_parts(start=starts_one),
    ),
    Mistake(
        "the waiting requests do not start in their order.",
        "The one that has waited longest is the first.",
        (with_parts(start=newest_first), with_parts(start=smallest_first)),
    ),
    Mistake(
        "the tokens of those that start are not counted for the next one.",
        "Move each to the running requests before you look at the next.",
        with_parts(start=starts_without_counting),
    ),
    Mistake(
        "a request that has started still waits.",
        "Take it out of the waiting ones, or it takes a place in the queue and is started again.",
        with_parts(start=keeps_them_waiting),
    ),
    Mistake(
        "nothing starts when a request leaves.",
        "Its tokens are free: those that wait may start.",
        with_parts(start=lambda self, order: []),
    ),
    Mistake(
        "a waiting request cannot leave.",
        "Its client has hung up. It must not start later, and not take a place in the queue.",
        with_parts(take_out=running_only),
    ),
    Mistake(
        "when a waiting request leaves, those behind it do not start.",
        "It may have been the one that did not fit.",
        with_parts(leave=starts_only_after_running),
    ),
    Mistake(
        "an id that neither runs nor waits raises an error.",
        "`pop(request_id, None)` takes out what is there.",
        with_parts(take_out=must_be_there),
    ),
    Mistake(
        "a request that leaves twice gives its tokens back twice.",
        "Give back only what the request holds now.",
        with_parts(take_out=gives_back_again, used=used_less_what_was_given_back),
    ),
    Mistake(
        "a request that leaves while it waits gives tokens back.",
        "It never had any: only requests that run use the budget.",
        with_parts(take_out=gives_back_what_waits, used=used_less_what_was_given_back),
    ),
    Mistake(
        "the list that `leave` returned changes in the next call.",
        "It belongs to the caller. Make a new list in each call.",
        with_parts(start=starts_into_one_list),
    ),
    Mistake(
        "where none waits, a request is refused for good, though it may start later.",
        "Only one that needs more than the whole budget is refused for good. This one can start in some seconds.",
        with_parts(refused=lambda self, _, n: ("refuse", self.seconds(n) if self.waiting else None)),
    ),
    Mistake(
        "a refused request takes a place in the queue.",
        "It is gone: its client comes again.",
        with_parts(refused=refused_counts),
    ),
    Mistake(
        "the seconds are for the refused request, not for the next one to start.",
        "Where others wait, the one that has waited longest is the next.",
        with_parts(next_one=lambda self, num_tokens: num_tokens),
    ),
    Mistake(
        "the seconds are for all requests that wait.",
        "The queue has a place when the next one has started: only its tokens are missing.",
        (
            with_parts(next_one=lambda self, num_tokens: sum(self.waiting.values()) + num_tokens),
            with_parts(next_one=lambda self, num_tokens: sum(self.waiting.values()) or num_tokens),
        ),
    ),
    Mistake(
        "the seconds are for the request that came last.",
        "The next to start is the one that has waited longest.",
        with_parts(next_one=lambda self, num_tokens: list(self.waiting.values() or [num_tokens])[-1]),
    ),
    Mistake(
        "the seconds are for all its tokens, not for those that are missing.",
        "Some of the budget may be free already.",
        (
            with_parts(seconds=lambda self, num_tokens: math.ceil(self.next_one(num_tokens) / self.tokens_per_s)),
            with_parts(seconds=lambda self, num_tokens: math.ceil(self.used() / self.tokens_per_s)),
        ),
    ),
    Mistake(
        "the seconds are not rounded up.",
        "`math.ceil`: a client that comes a moment too early is refused again.",
        (
            with_parts(seconds=lambda self, n: int(self.missing(self.next_one(n)) // self.tokens_per_s)),
            with_parts(seconds=lambda self, n: max(1, int(self.missing(self.next_one(n)) // self.tokens_per_s))),
            with_parts(seconds=lambda self, n: max(1, round(self.missing(self.next_one(n)) / self.tokens_per_s))),
            with_parts(seconds=lambda self, n: round(self.missing(self.next_one(n)) / self.tokens_per_s)),
        ),
    ),
    Mistake(
        "it is rounded up as with whole numbers, and `tokens_per_s` may be a fraction.",
        "`(a + b - 1) // b` rounds up only where both are ints. `math.ceil(a / b)` always does.",
        with_parts(
            seconds=lambda self, n: int((self.missing(self.next_one(n)) + self.tokens_per_s - 1) // self.tokens_per_s)
        ),
    ),
    Mistake(
        "a second too many.",
        "Where the tokens divide evenly, nothing is rounded: `math.ceil(20 / 10)` is 2.",
        with_parts(seconds=lambda self, n: int(self.missing(self.next_one(n)) // self.tokens_per_s) + 1),
    ),
    Mistake(
        "the seconds are a float.",
        "The header takes whole seconds: an int.",
        (
            with_parts(seconds=lambda self, n: self.missing(self.next_one(n)) / self.tokens_per_s),
            with_parts(seconds=lambda self, n: float(math.ceil(self.missing(self.next_one(n)) / self.tokens_per_s))),
        ),
    ),
    Mistake(
        "the seconds are always the same.",
        "They follow from the tokens that are missing.",
        (with_parts(seconds=lambda self, n: 1), with_parts(seconds=lambda self, n: None)),
    ),
]
