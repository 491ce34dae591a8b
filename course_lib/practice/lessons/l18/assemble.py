"""The exercise 18.assemble: an engine on four parts that are given, which serves the tokens of generate_naive."""

from course_lib.practice.judge.exercise import Exercise, Property

from . import assemble_trials as trials
from .assemble_mistakes import MISTAKES
from .assemble_right import AllRows, WithAQueue
from .solutions.assemble import MyEngine

ASSEMBLE = Exercise(
    id="18.assemble",
    title="The engine, from its parts",
    name="MyEngine",
    cases="scripts",
    properties=[
        Property(
            "One request alone gets the tokens of `generate_naive`",
            "Whatever the parts do, the tokens must be the same.",
            trials.ALONE,
        ),
        Property(
            "Requests that run together each get the tokens that they would get alone",
            "The flat batch, the positions and the rows of logits must be in the order of `step.scheduled`.",
            trials.TOGETHER,
        ),
        Property(
            "A prompt that is cut into chunks gets a token only after its last chunk",
            "`num_choices` is 0 in the middle of a prompt: the row after a chunk says nothing about the next token.",
            trials.CHUNKS,
        ),
        Property(
            "It runs on the scheduler and the policy that it was given",
            "The engine decides nothing: who runs is the scheduler's choice, and who is next the policy's.",
            trials.PARTS,
        ),
        Property(
            "The numbers of the config reach the parts: blocks, block size, sequences, budget, prefix caching",
            "A part that was made with other numbers serves other requests, or computes the same tokens again.",
            trials.CONFIG,
        ),
        Property(
            "A sequence ends at the model's end token, unless `ignore_eos` is set, and at `max_tokens`",
            "`stop_ids(model.config, request.params)` returns the tokens that end it.",
            trials.ENDS,
        ),
        Property(
            "When memory is short, requests are preempted and their tokens stay the same",
            "A preempted request is computed again from its `token_ids`, which the step already says.",
            trials.SHORT,
        ),
        Property(
            "The model is called once in each step", "All requests share one reading of the weights.", trials.CALLS
        ),
        Property(
            "The blocks of a request are free after its last step, and then nothing is unfinished",
            "A request that is not finished keeps its blocks and its place in the batch.",
            trials.FREE,
        ),
        Property(
            "Without requests, `step` returns [] and does not call the model",
            "A server calls `step` also while nothing is scheduled.",
            trials.IDLE,
        ),
        Property("Any mixture of these", "Requests arrive, wait, run and are preempted at any time.", trials.MIXED),
    ],
    mistakes=MISTAKES,
    hints=[
        "`__init__` makes five things in the order of the table: the allocator, the pool, the cache over both, the "
        "manager over the allocator, and the scheduler over the manager. One allocator object goes to both.",
        "`step()` is four calls: `schedule`, the cache's `begin_step`, the model, `update`. Between the model and "
        "`update` the tokens are chosen; after `update`, call `finish` for requests that have ended.",
        "`begin_step` wants a block table for each entry of `step.scheduled`: "
        "`self.manager.table(self.scheduler.running[one.request_id])`. The flat batch is their `token_ids`, one after "
        "the other.",
        "The row of a sequence is its last token in the flat batch: `len(token_ids) - 1` right after its tokens were "
        "added. Keep it only where `one.num_choices` is 1.",
        "`outputs.append((request.request_id, new[-1], request.finish_reason))` for each pair that `update` returns.",
    ],
    rights=[MyEngine, AllRows, WithAQueue],
    why="The engine holds no policy and no ledger: it carries integers from the scheduler to the model, and tokens "
    "back. vLLM's `EngineCore.step` (`v1/engine/core.py`) is the same four calls: `schedule`, `execute_model`, "
    "`sample_tokens`, `update_from_output`.",
)
