"""The mistakes in 16.cancel."""

from course_lib.practice.judge.common_mistakes import shares_a_list
from course_lib.practice.judge.exercise import Mistake

from .cancel_answers import (
    Front,
    aborted_always,
    aborted_and_kept,
    aborted_later,
    aborts_at_once,
    aborts_known,
    aborts_unless_finished,
    added_and_aborted,
    added_anyway,
    adds_at_once,
    always_steps,
    clears_after,
    closed_after,
    closes_always,
    closes_first,
    closes_too,
    copies_and_clears,
    counts_clients,
    forgets,
    ignored,
    keeps_finished,
    keeps_id,
    knows_all,
    never_closes,
    no_last_output,
    numbers_of_its_own,
    one_message,
    only_forgotten,
    reads_and_replaces,
    remembers,
    step_first,
    steps_if_open,
    steps_to_the_end,
    stops_handing_out,
    uncaught,
    with_parts,
)
from .cancel_orders import (
    ABORTS_AFTER,
    ALL_STEPS,
    ASKS_FIRST,
    CLOSES_THEN_SENDS,
    COUNTS_BROKEN,
    NEVER_FORGOTTEN,
    NEWEST_FIRST,
    ONE_OR_NONE,
)

MISTAKES = [
    Mistake(
        "all front ends share one inbox or dict.",
        "One that is made in the body of the class is the same for all objects. Make each in `__init__`.",
        is_made_by=shares_a_list,
    ),
    Mistake(
        "what comes between reading and clearing the inbox is lost.",
        "`list(self.inbox)` and then `self.inbox.clear()` are two steps. `while self.inbox: self.inbox.popleft()` "
        "takes only what it returns.",
        (with_parts(take=copies_and_clears), with_parts(take=reads_and_replaces)),
    ),
    Mistake(
        "requests are known by ids of your own.",
        "An output has the id that `engine.add_request` returned. Keep that one.",
        with_parts(add=numbers_of_its_own),
    ),
    Mistake(
        "the engine is not told that a client hung up.",
        "It goes on to compute for nobody, and the blocks stay taken: call `engine.abort`.",
        (with_parts(gone=forgets), with_parts(hang_up=lambda self, client: None)),
    ),
    Mistake(
        "`connect` or `hang_up` calls the engine itself.",
        "They are called by another thread, while the engine computes. Put something into the inbox, and do the rest "
        "in `turn`.",
        (
            with_parts(connect=adds_at_once),
            with_parts(hang_up=aborts_at_once),
            with_parts(connect=adds_at_once, hang_up=aborts_at_once),
        ),
    ),
    Mistake(
        "a request that has finished is aborted.",
        "Take it out of what is open when its last output comes.",
        with_parts(add=knows_all, gone=lambda self, client: Front.gone(self, client), gone_unknown=aborts_known),
    ),
    Mistake(
        "a request is aborted again at each hang-up.",
        "Once is enough: after the abort the request is not open any more.",
        with_parts(add=knows_all, ended=remembers, gone_unknown=aborts_unless_finished),
    ),
    Mistake(
        "a request whose client is gone already is given to the engine.",
        "Look through the whole inbox first. A hang-up takes back what the same client asked for.",
        (with_parts(gone_before=added_and_aborted), with_parts(gone_before=added_anyway)),
    ),
    Mistake(
        "a client that hung up still gets outputs.",
        "Forget the client when you abort its request.",
        with_parts(gone=keeps_id),
    ),
    Mistake(
        "a client that hung up is closed.",
        "It has closed the connection itself.",
        (with_parts(gone=closes_too), with_parts(broken=closed_after)),
    ),
    Mistake(
        "`turn` takes one message only.",
        "Others would wait for as many steps as there are messages. Go on until the inbox is empty.",
        with_parts(take=one_message),
    ),
    Mistake(
        "the newest message is taken first.",
        "`popleft` takes the oldest: requests go to the engine in the order in which they came.",
        (with_parts(next=lambda self: self.inbox.pop()), NEWEST_FIRST),
    ),
    Mistake(
        "the step comes before the inbox.",
        "Then a step is computed for a client that is gone, and a new request waits for the next one.",
        with_parts(turn=step_first),
    ),
    Mistake(
        "`has_unfinished` is asked before the new requests are given to the engine.",
        "A request that has just come waits for a whole turn. First the inbox, then ask.",
        ASKS_FIRST,
    ),
    Mistake(
        "a request is aborted after the step.",
        "The engine computes a token for nobody. Abort while you read the inbox, before `engine.step()`.",
        ABORTS_AFTER,
    ),
    Mistake(
        "messages that come while the engine computes are lost.",
        "Take each message out when you read it. Clearing the inbox afterwards drops what came meanwhile.",
        with_parts(turn=clears_after),
    ),
    Mistake(
        "the engine does a step with nothing to do.",
        "Ask `engine.has_unfinished()` first.",
        with_parts(step=always_steps),
    ),
    Mistake(
        "`turn` does more than one step.",
        "Messages would wait until all answers are whole: a hang-up, too.",
        (with_parts(step=steps_to_the_end), ALL_STEPS),
    ),
    Mistake(
        "no step is done where only aborted requests are left.",
        "`engine.has_unfinished()` decides: the engine may have something to hand out or to tidy up.",
        with_parts(step=steps_if_open),
    ),
    Mistake(
        "a `ConnectionError` of `send` is not caught.",
        "It ends the engine's thread, and with it all other answers.",
        with_parts(give=uncaught),
    ),
    Mistake(
        "after a `send` that failed the other clients do not get their outputs.",
        "Put the `try` inside the loop, around the one `send`.",
        with_parts(step=stops_handing_out),
    ),
    Mistake(
        "after a `send` that failed the request goes on.",
        "The client is gone: abort it at once.",
        (with_parts(broken=ignored), with_parts(broken=only_forgotten)),
    ),
    Mistake(
        "after a `send` that failed the request is aborted in the next turn.",
        "You are in the engine's thread already, so abort it here.",
        with_parts(broken=aborted_later),
    ),
    Mistake(
        "a request whose last `send` failed is aborted, though it has finished.",
        "With its last output the engine has given its blocks back.",
        with_parts(broken=aborted_always),
    ),
    Mistake(
        "a client whose `send` failed hangs up, and its request is aborted again.",
        "Forget the client when you abort its request.",
        (with_parts(broken=aborted_and_kept), NEVER_FORGOTTEN),
    ),
    Mistake(
        "`close` is not called after the last output.", "The client waits for more.", with_parts(ended=never_closes)
    ),
    Mistake(
        "`close` comes too early.",
        "First the last output is sent, then the connection is closed.",
        (
            with_parts(give=closes_always),
            with_parts(give=closes_first),
            with_parts(give=no_last_output),
            CLOSES_THEN_SENDS,
        ),
    ),
    Mistake(
        "`num_open` counts others than the open requests.",
        "Those that the engine has, and that have neither finished nor been aborted.",
        (
            with_parts(num_open=lambda self: len(self.ids) + len(self.__dict__.get("more", [])), ended=keeps_finished),
            with_parts(num_open=lambda self: len(self.__dict__.get("seen", [])), add=counts_clients),
            with_parts(num_open=lambda self: len(self.ids) + len(self.inbox)),
            COUNTS_BROKEN,
            ONE_OR_NONE,
        ),
    ),
]
