"""The mistakes in 10.continuous_loop."""

from course_lib.practice.judge.common_mistakes import shares_a_list
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised

from . import continuous_loop_answers as loops


def returns_nothing(answer, found):
    """Whether `step` handed None back."""
    return isinstance(found.outcome, Raised) and found.outcome.message.startswith("step() returned None;")


MISTAKES = [
    Mistake(
        "`step` returns nothing.",
        "Hand a list of triples over with `return`, one for each request that wrote.",
        is_made_by=returns_nothing,
    ),
    Mistake(
        "all servers share one list.",
        "A list in the body of the class is one list for all objects. Make it in `__init__`: `self.waiting = []`.",
        is_made_by=shares_a_list,
    ),
    Mistake(
        "`ignore_eos` is not looked at.",
        "It says that the model's end tokens are tokens like others.",
        loops.NeverIgnores,
    ),
    Mistake(
        "it waits until the whole batch is done.",
        "That is static batching: new requests stand outside while seats are empty. Let them join in every step.",
        loops.JoinsWhenEmpty,
    ),
    Mistake(
        "who is done keeps its seat until all are done.",
        "A text that is over leaves in that very step; its seat and blocks are the next one's.",
        loops.LeavesTogether,
    ),
    Mistake(
        "who is done leaves a step late.",
        "Look whether it is over when the new token is known, and not at the beginning of the next step.",
        loops.LeavesLate,
    ),
    Mistake(
        "those who run stand still while a prompt is computed.",
        "Put the prompt and the single tokens into one flat batch.",
        loops.Pauses,
    ),
    Mistake(
        "blocks of finished requests are not freed.",
        "The table is gone and the allocator was never told: `table.free()` before you forget it.",
        loops.NeverFrees,
    ),
    Mistake(
        "blocks of an aborted request are not freed.",
        "A request that is given up holds blocks like any other: `table.free()`.",
        loops.KeepsAborted,
    ),
    Mistake("a running request cannot be aborted.", "Look for it among those who run as well.", loops.AbortsWaiting),
    Mistake(
        "a waiting request cannot be aborted.",
        "Look for it among those who wait as well, or it is served although nobody is there.",
        loops.AbortsRunning,
    ),
    Mistake(
        "the model is called for each request by itself.",
        "The weights are read again for each call. Put the tokens of all into one row, and call the model once.",
        loops.OneByOne,
    ),
    Mistake(
        "positions count through the whole row.",
        "Each request counts in its own text. `begin_step` returns the right ones.",
        loops.CountsThrough,
    ),
    Mistake(
        "positions begin at 0 in each step.",
        "The newest token stands at the end of its text. `begin_step` returns the right ones.",
        loops.FromZero,
    ),
    Mistake(
        "the next token is read from the first row of a request.",
        "The last row of a prompt has seen all of it: only that one says what comes next.",
        loops.FirstRows,
    ),
    Mistake(
        "row i of the logits is taken for request i.",
        "A prompt brings as many rows as tokens. Find the last row of each, `cu_seqlens_q[i + 1] - 1`.",
        loops.RowOfRequest,
    ),
    Mistake(
        "tokens go to the wrong requests.",
        "Rows come back in the order in which the tables and tokens went in. Keep one order.",
        loops.OtherTables,
    ),
    Mistake(
        "the end token is not looked at.",
        "Ask `model.config.eos_token_ids`: a text that is over goes on with nonsense.",
        loops.NoEnd,
    ),
    Mistake(
        "the prompt counts towards `max_tokens`.",
        "Count what was written: the tokens after `num_prompt_tokens`.",
        loops.PromptCounts,
    ),
    Mistake("a text gets one token too many.", "With max_tokens=1 it is over after one token.", loops.OneMore),
    Mistake(
        "memory is not looked at.",
        "`append_slots` says None where no block is free, and the step cannot go on. Do not let a request join "
        "whose blocks are not left.",
        loops.Crowded,
    ),
    Mistake("more than `max_num_seqs` run.", "Those who run and those who join count together.", loops.NoSeats),
    Mistake(
        "`has_unfinished` forgets those who wait.", "While somebody waits there is something to do.", loops.OnlyRunning
    ),
]
