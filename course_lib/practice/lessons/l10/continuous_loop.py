"""The exercise 10.continuous_loop: a whole server over one cache. In any step requests are admitted, decode and end."""

from course_lib.practice.judge.exercise import Exercise, Property

from . import continuous_loop_trials as trials
from .continuous_loop_ids import AGAIN
from .continuous_loop_mistakes import MISTAKES
from .continuous_loop_right import Everything
from .solutions.continuous_loop import ContinuousLoop

CONTINUOUS_LOOP = Exercise(
    id="10.continuous_loop",
    title="A server that never waits for a batch",
    name="ContinuousLoop",
    cases="scripts",
    properties=[
        Property(
            "A step appends the new token to the request, and counts the tokens that were computed",
            "`step`, `pack` and `stop_conditions` read `token_ids` and `num_computed_tokens`, and so does the caller.",
            trials.UP_TO_DATE,
        ),
        Property(
            "One request alone gets the tokens of `generate_naive`",
            "Whatever is done for speed, the tokens must be the same.",
            trials.ALONE,
        ),
        Property(
            "Requests are admitted in any step, and each gets the tokens that it would get alone",
            "Requests of a batch do not influence each other: tokens, block tables and positions are separate.",
            trials.JOIN,
        ),
        Property(
            "At most `max_num_seqs` run, and one that has ended is replaced in the next step",
            "With fewer requests than allowed, a step gives fewer tokens for the same reading of the weights.",
            trials.FULL,
        ),
        Property(
            "The model's end token ends a sequence, and so does `max_tokens`",
            'The reason is returned: "stop" or "length".',
            trials.ENDS,
        ),
        Property(
            "A request whose blocks are not free waits, and gets the blocks of requests that have ended",
            "Blocks that are not freed are lost: after a while no request fits any more.",
            trials.ROOM,
        ),
        Property(
            "`abort` ends a request wherever it is",
            "A client has closed the connection. Its place in the batch and its blocks are free for others.",
            [*trials.ABORT, *trials.AT_ONCE],
        ),
        Property(
            "The model is called once in each step",
            "All requests share one reading of the weights. This is what a batch is for.",
            trials.CALLS,
        ),
        Property(
            "The blocks of a request are free after its last step, and at the end no request is unfinished",
            "If blocks are lost, the server is full after some hours although no request runs.",
            trials.FREE,
        ),
        Property(
            "A request may have the id of one that has ended, or was aborted",
            "A client chooses the id, and may send it again. What was served or aborted before is over.",
            AGAIN,
        ),
        Property(
            "Without requests, `step` returns []",
            "A server calls `step` again and again, also without requests. The model has nothing to compute.",
            trials.IDLE,
        ),
        Property(
            "Each server has requests of its own",
            "Each test makes a new server, and a program that serves two models makes two.",
            trials.TWO_SERVERS,
        ),
        Property("Any mixture of these", "Requests arrive, wait, run and are aborted at any time.", trials.MIXED),
    ],
    mistakes=MISTAKES,
    hints=[
        "Keep three things: a list of waiting requests, a list of running requests, and a BlockTable for each "
        "running request. `add_request` adds to the first list.",
        "In `step`: let your `step` function choose the requests. A new request gets a "
        "`BlockTable(self.cache.allocator)`; each request gets slots for its n tokens with "
        "`table.append_slots(n)`.",
        "Then, once for all requests: `positions = self.cache.begin_step(tables, counts)`, and one call of the "
        "model with the flat row of tokens. Your `pack` makes that row, and returns which rows of the logits you "
        "need.",
        "For each request: n more tokens are computed, the new token is appended to `token_ids`, and "
        "`stop_conditions` returns whether the sequence ends. If so, remove it from `running` and call "
        "`table.free()`.",
        "For a running request, `abort` does the same as the end of a sequence. A waiting request holds no "
        "blocks, and is only removed from the list.",
    ],
    rights=[ContinuousLoop, Everything],
    why="These forty lines serve any number of requests with one call of the model per step. The course's engine has "
    "the same parts, each in a file of its own: `scheduler.py` chooses, `runner.py` packs and runs, `engine.py` "
    "ends sequences. The engine also has a token budget, chunked prefill, shared prefixes, and preemption in "
    "place of reserving (lesson 11).",
)
