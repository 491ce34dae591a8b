"""The mistakes in 10.continuous_loop."""

from course_lib.decoding import SamplingParams
from course_lib.engine import Request
from course_lib.errors import CourseError
from course_lib.practice.fixtures.tiny_server import SummingModel, paged_cache
from course_lib.practice.judge.common_mistakes import shares_a_list
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised

from . import continuous_loop_answers as loops
from . import continuous_loop_outputs as outputs


def returns_nothing(answer, found):
    """Whether `step` returned None."""
    return isinstance(found.outcome, Raised) and found.outcome.message.startswith("step() returned None;")


def calls_twice(answer, found):
    """Whether one step with one request calls the model more than once."""
    model = SummingModel()
    server = answer(model, paged_cache(model, 8, 4), 4)
    server.add_request(Request("a", [5], SamplingParams(max_tokens=2)))
    before = model.calls
    try:
        server.step()
    except CourseError:  # the second call finds a cache that no step was begun for
        pass
    return model.calls > before + 1


MISTAKES = [
    Mistake(
        "the model is called more than once in a step.",
        "Call it once for all requests, keep its logits, and do not call it before the next `begin_step`.",
        is_made_by=calls_twice,
    ),
    Mistake(
        "`step` returns nothing.",
        "Return a list of triples, one for each request that got a token.",
        is_made_by=returns_nothing,
    ),
    Mistake(
        "all servers share one list or dict.",
        "One that is made in the body of the class is the same for all objects. Make each in `__init__`: "
        "`self.waiting = []`.",
        is_made_by=shares_a_list,
    ),
    Mistake(
        "logits lose digits before the largest is taken.",
        "In 16 bits close logits are equal, and then the lower id is taken. Compare the logits as they come.",
        type("ContinuousLoop", (loops.Parts,), {"rounded": lambda self, logits: logits.half()}),
    ),
    Mistake(
        "`ignore_eos` is not checked.",
        "With it, the end tokens of the model are tokens like any others.",
        loops.NeverIgnores,
    ),
    Mistake(
        "new requests wait until the whole batch is done.",
        "This is static batching: new requests wait although fewer than `max_num_seqs` run. Admit requests in "
        "every step.",
        loops.JoinsWhenEmpty,
    ),
    Mistake(
        "requests that have ended stay in the batch until all have ended.",
        "Remove a request in the step in which it ends; its place in the batch and its blocks are free for the "
        "next request.",
        loops.LeavesTogether,
    ),
    Mistake(
        "requests that have ended are removed one step late.",
        "Check whether a sequence ends when its new token is known, not at the beginning of the next step.",
        (loops.LeavesLate, loops.LeavesNext),
    ),
    Mistake(
        "`num_computed_tokens` stays as it was.",
        "`step` and `pack` read it, and take the same tokens again: `request.num_computed_tokens += n`.",
        loops.NeverCounts,
    ),
    Mistake(
        "`num_computed_tokens` grows by one in each step.",
        "A prompt has more tokens than one, and all of them are computed: `request.num_computed_tokens += n`.",
        loops.CountsOne,
    ),
    Mistake(
        "a step is begun although no request waits or runs.",
        "There is nothing to compute. Return [] before `begin_step` and the model are called.",
        loops.NeverRests,
    ),
    Mistake(
        "the new token is not appended to `token_ids`.",
        "It is the token that the next step computes.",
        loops.NeverAppends,
    ),
    Mistake(
        "running requests pause while a prompt is computed.",
        "Put the prompt and the single tokens into one flat batch.",
        loops.Pauses,
    ),
    Mistake(
        "blocks of finished requests are not freed.",
        "The block table is dropped, but the allocator still counts its blocks: call `table.free()` first.",
        loops.NeverFrees,
    ),
    Mistake(
        "blocks of an aborted request are not freed.",
        "An aborted request holds blocks like any other: `table.free()`.",
        loops.KeepsAborted,
    ),
    Mistake(
        "an aborted request ends in the next step only.",
        "`abort` ends it at once: its blocks are free when `abort` returns, and it is not unfinished any more.",
        loops.AbortsLater,
    ),
    Mistake("a running request cannot be aborted.", "Look for it among the running requests too.", loops.AbortsWaiting),
    Mistake(
        "a waiting request cannot be aborted.",
        "Look for it among the waiting requests too. Otherwise it is served although its client has left.",
        loops.AbortsRunning,
    ),
    Mistake(
        "the model is called once for each request.",
        "The weights are read again in each call. Put the tokens of all requests into one row, and call the model "
        "once.",
        loops.OneByOne,
    ),
    Mistake(
        "positions count through the whole row.",
        "Each request counts in its own sequence. `begin_step` returns the right positions.",
        loops.CountsThrough,
    ),
    Mistake(
        "positions begin at 0 in each step.",
        "The newest token is at the end of its sequence. `begin_step` returns the right positions.",
        loops.FromZero,
    ),
    Mistake(
        "the next token is read from the first row of a request.",
        "Only the last row of a prompt attends to all of it, so only that row predicts the next token.",
        loops.FirstRows,
    ),
    Mistake(
        "row i of the logits is taken for request i.",
        "A prompt has as many rows as tokens. Use the last row of each request, `cu_seqlens_q[i + 1] - 1`.",
        loops.RowOfRequest,
    ),
    Mistake(
        "tokens go to the wrong requests.",
        "The rows of the logits are in the order of the tables and tokens that were passed in. Keep one order.",
        loops.OtherTables,
    ),
    Mistake(
        "block tables are passed in another order than the tokens.",
        "`begin_step` and the model match tables and tokens by their order. Take both in the order of what `step` "
        "returned.",
        loops.SortedTables,
    ),
    Mistake(
        "the end token is not checked.",
        "Check `model.config.eos_token_ids`: after its end token a sequence goes on with nonsense.",
        loops.NoEnd,
    ),
    Mistake(
        "the prompt counts towards `max_tokens`.",
        "Count only the output: the tokens after `num_prompt_tokens`.",
        loops.PromptCounts,
    ),
    Mistake("a sequence gets one token too many.", "With max_tokens=1 it ends after one token.", loops.OneMore),
    Mistake(
        "memory is not checked.",
        "`append_slots` returns None where no block is free, and the step cannot go on. Do not admit a request "
        "whose blocks are not left.",
        loops.Crowded,
    ),
    Mistake(
        "`step` is told how many blocks are free, not how many there are.",
        "It subtracts what running requests may need from `num_blocks` itself: pass `cache.allocator.num_blocks`.",
        loops.CountsFree,
    ),
    Mistake("more than `max_num_seqs` run.", "Running requests and admitted requests count together.", loops.NoLimit),
    Mistake(
        "not every request that got a token is returned.",
        "`step` returns a triple for each of them: the reason is None where the request goes on.",
        (outputs.TellsEnds, outputs.TellsRunning),
    ),
    Mistake(
        "the request that was added does not get its tokens.",
        "A copy of it, or of its tokens, does. The caller reads the request itself: append to its `token_ids`.",
        outputs.ServesCopies,
    ),
    Mistake(
        "the new token counts as computed.",
        "It has no key and value yet. In this step n tokens were computed: `request.num_computed_tokens += n`.",
        outputs.CountsNewest,
    ),
    Mistake(
        "more slots are appended than tokens are computed.",
        "The new token gets its slot in the next step, which computes it: `table.append_slots(n)`.",
        outputs.SlotsForTheNext,
    ),
    Mistake(
        "slots are appended again for tokens that have some.",
        "A table keeps its slots from step to step. Append them for the tokens of this step only: "
        "`table.append_slots(n)`.",
        outputs.SlotsForAll,
    ),
    Mistake(
        "an id that was aborted is remembered.",
        "`abort` concerns the request that waits or runs now, and no later one of the same id: look for it in the "
        "lists, and keep nothing.",
        outputs.RemembersAborts,
    ),
    Mistake(
        "a later request of the same id is not served.",
        "Ids are compared only with those that wait or run now.",
        outputs.RemembersEnds,
    ),
    Mistake(
        "a table that was freed is used again.",
        "A request that joins gets a new `BlockTable`, also if an earlier one had its id. Remove the table of a "
        "request that has ended: `self.tables.pop(request_id).free()`.",
        outputs.KeepsTables,
    ),
    Mistake(
        "`has_unfinished` does not count waiting requests.",
        "While a request waits, the server has work to do.",
        loops.OnlyRunning,
    ),
    Mistake(
        "`has_unfinished` does not count running requests.",
        "A running request still gets tokens, although no request waits.",
        loops.OnlyWaiting,
    ),
]
