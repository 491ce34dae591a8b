"""Known mistakes of 18.assemble."""

from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised

from . import assemble_answers as engines


def raises(*words):
    """is_made_by: whether the answer raised, with all of these words in the message."""
    return lambda answer, found: (
        isinstance(found.outcome, Raised)
        and all(word in f"{found.outcome.kind}: {found.outcome.message}" for word in words)
    )


MISTAKES = [
    *RETURNS_NOTHING,
    Mistake(
        "the allocator is not the one that was given.",
        "Make it from the class: `allocator(config.num_blocks, config.block_size)`.",
        engines.OwnAllocator,
        is_made_by=raises("not made its allocator"),
    ),
    Mistake(
        "the cache is not the one that was given.",
        "Make it from the class: `cache(pool, allocator)`.",
        engines.OwnCache,
        is_made_by=raises("not made its cache"),
    ),
    Mistake(
        "the pool has another dtype than the model.",
        "`KVPool(model.config, config.num_blocks, config.block_size, model.device, model.dtype)`.",
        engines.OtherDtype,
        is_made_by=lambda answer, found: any(
            raises(words)(answer, found) for words in ("came to a pool for", "dtypes match")
        ),
    ),
    Mistake(
        "tokens go to other sequences where one has no choice.",
        "A sequence in the middle of a prompt has no row. Choose rows and names for the same entries: those with "
        "`num_choices`.",
        engines.RowsOfAll,
    ),
    Mistake(
        "the cache and the manager have two allocators.",
        "One object gives out the blocks. Make it once, and pass it to `cache` and to `KVCacheManager`.",
        engines.TwoAllocators,
        is_made_by=raises("of another allocator"),
    ),
    Mistake(
        "the scheduler is the course's, and not the one that was given.",
        "`scheduler(config, manager, policy=...)`: the class comes as an argument.",
        engines.OwnScheduler,
    ),
    Mistake(
        "the policy is not the one that was given.",
        "`scheduler(config, self.manager, policy=policy())`. Without `policy` the scheduler takes the one that the "
        "config names.",
        (engines.ConfigsPolicy, engines.OwnPolicy),
    ),
    Mistake(
        "a class of policies is passed, and not a policy.",
        "The scheduler needs an object: `policy=policy()`.",
        is_made_by=raises("missing 1 required positional argument"),
    ),
    Mistake(
        "prefixes are shared although the config says no.",
        "`KVCacheManager(blocks, prefix_caching=config.prefix_caching)`: by default it shares.",
        engines.AlwaysShares,
    ),
    Mistake(
        "prefixes are never shared.",
        "`KVCacheManager(blocks, prefix_caching=config.prefix_caching)`: the config decides.",
        engines.NeverShares,
    ),
    Mistake(
        "the scheduler has another config.",
        "Pass the config itself: it holds `max_num_seqs` and `max_num_batched_tokens` too.",
        engines.DefaultConfig,
    ),
    Mistake(
        "the model's end token ends no sequence.",
        "Set `request.stop_ids = frozenset(stop_ids(self.model.config, request.params))` before `add`.",
        engines.NoStops,
    ),
    Mistake(
        "the end token ends a sequence although `ignore_eos` is set.",
        "`stop_ids(model.config, request.params)` knows `ignore_eos`; `model.config.eos_token_ids` does not.",
        engines.ModelsStops,
    ),
    Mistake(
        "waiting requests do not count in `has_unfinished`.",
        "Before its first step a request only waits: `len(self.scheduler.waiting) > 0` counts too.",
        engines.OnlyRunning,
    ),
    Mistake(
        "running requests do not count in `has_unfinished`.",
        "`self.scheduler.running` holds those that still get tokens.",
        engines.OnlyWaiting,
    ),
    Mistake(
        "a request that has ended is not finished.",
        "`self.scheduler.finish(request, request.finish_reason)` takes it out and frees its blocks.",
        engines.NeverFinishes,
    ),
    Mistake(
        "a request that has ended is finished in the next step only.",
        "It holds its blocks until then, and `has_unfinished` is True. Call `finish` right after `update`.",
        engines.FinishesLate,
    ),
    Mistake(
        "a sequence that has a choice gets no token.",
        "`num_choices` says which entries have one, however many tokens are computed of them. Take the names and the "
        "rows from the same entries.",
        is_made_by=raises("got no token for"),
    ),
    Mistake(
        "`token_ids` is not a flat tensor of int64.",
        "The tokens of all entries are in one dimension, without one for the batch: `torch.tensor(token_ids)`.",
        is_made_by=raises("the model wants an int64 tensor"),
    ),
    Mistake(
        "the tokens do not fit their positions.",
        "`begin_step` gets `num_tokens` of each entry, and the model all of these tokens, of parts of a prompt too.",
        is_made_by=raises("tokens came with", "positions"),
    ),
    Mistake(
        "the reason is not returned.",
        "The third of each triple is `request.finish_reason`: None, or why the sequence ended.",
        engines.SaysNoReason,
    ),
    Mistake(
        "positions begin at 0 in every step.",
        "A token has the position in its sequence. `begin_step` returns the positions of all new tokens.",
        engines.FromZero,
    ),
    Mistake(
        "the last tokens of a request are taken for those of a chunk.",
        "In the middle of a prompt other tokens are computed: `one.token_ids`.",
        engines.TokensFromTheEnd,
    ),
    Mistake(
        "positions count through the flat batch.",
        "Each sequence counts for itself. `begin_step` returns the positions of all new tokens.",
        engines.CountsThrough,
    ),
    Mistake(
        "the token is chosen after the first new token of each sequence.",
        "After a prompt of several tokens the last one says what comes next: row `end - 1`.",
        engines.FirstRows,
    ),
    Mistake(
        "row i of the logits is taken for sequence i.",
        "The flat batch has a row for each token. A sequence's row is that of its last new token.",
        engines.RowOfRequest,
    ),
    Mistake(
        "the model is called for each request.",
        "Put the tokens of all into one flat batch, and call `begin_step` and the model once.",
        engines.OneByOne,
    ),
    Mistake(
        "a token is returned in the middle of a prompt.",
        "Return what `update` returns: it leaves out sequences with `num_choices` 0.",
        engines.TellsChunks,
    ),
    Mistake(
        "`update` is given bare tokens.",
        "It wants a list for each sequence, `{request_id: [token]}`: with drafts there are several.",
        engines.BareTokens,
        is_made_by=raises("'int' object is not iterable"),
    ),
    Mistake(
        "`schedule` is called twice in a step.",
        "Each call gives out slots. What it returns must be run and updated before the next call.",
        engines.SchedulesTwice,
    ),
    Mistake(
        "the model is called although nothing is scheduled.",
        "`if not step.scheduled: return []`.",
        engines.NeverIdle,
        is_made_by=raises("0 tables and 0 counts"),
    ),
    Mistake(
        "the token is appended twice.",
        "`update` has appended it to the request. Only return it.",
        engines.AppendsItself,
    ),
    Mistake(
        "only requests that have ended are returned.",
        "Each request that got a token is returned, with None for the reason while it goes on.",
        engines.TellsEnds,
    ),
    Mistake(
        "requests that have ended are not returned.",
        "Their last token is a token like any other: return it, with the reason.",
        (engines.TellsRunning, engines.TellsStops),
    ),
    Mistake(
        "the model is not called where no token is chosen.",
        "It writes keys and values, which later chunks read. With `rows` empty it returns no logits.",
        engines.SkipsChunks,
    ),
    Mistake(
        "logits lose digits before the largest is taken.",
        "In 16 bits close logits are equal, and then the lower id is taken. Compare the logits as they come.",
        engines.RoundedLogits,
    ),
    Mistake(
        "block tables are in another order than the tokens.",
        "`begin_step` and the model match them by their order. Take both in the order of `step.scheduled`.",
        engines.TablesAsTheyRun,
    ),
    Mistake(
        "`step` returns nothing.",
        "Its last line is `return` with the list, also where the list is empty.",
        is_made_by=raises("step() returned None"),
    ),
    Mistake(
        "something else than the id of a request is returned.",
        "The first of each triple is `request.request_id`, not the request.",
        is_made_by=raises("there is no request of that name"),
    ),
    Mistake(
        "something else than triples is returned.",
        "A list of `(request_id, token, finish_reason or None)`; the token is an int.",
        is_made_by=raises("step() returned", "list of (request_id"),
    ),
]
