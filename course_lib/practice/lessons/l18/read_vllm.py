"""The exercise 18.read_vllm: ten questions about vLLM 0.24.0 and SGLang 0.5.23 that the source answers.

A check must not tell an answer. So the outcome for a question is True, or what was answered. The answers to `freed`,
`reused` and `kept` are also what vLLM's own classes return.
"""

from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING
from course_lib.practice.judge.exercise import Exercise, Property, Trial

from .read_vllm_mistakes import MISTAKES
from .solutions.read_vllm import read_vllm

QUESTIONS = {
    "tokens": (
        "how the budget is shared out",
        "Running requests come first, and each catches up as far as the budget goes.",
        "vLLM `v1/core/sched/scheduler.py` `schedule`. For each request in turn: how many tokens have no keys and "
        "values yet, and what is left of the budget?",
    ),
    "full_hit": (
        "a prompt that is cached whole",
        "Something must be computed, or there are no logits to choose from.",
        "vLLM `v1/core/kv_cache_manager.py` `get_computed_blocks`. How many whole blocks fit into "
        "`max_cache_hit_length` tokens?",
    ),
    "freed": (
        "the free queue after a request has ended",
        "The order of the free queue is the order of eviction.",
        "vLLM `v1/core/block_pool.py` `free_blocks`. In which order do the three blocks come, which of them have a "
        "hash, and to which end does each kind go?",
    ),
    "reused": (
        "a hit, and two new blocks",
        "A block that is hit must not be given out to somebody else in the same step.",
        "vLLM `v1/core/block_pool.py` `touch` and `get_new_blocks`. Take the hit out of the queue of `freed` first.",
    ),
    "preempted": (
        "the waiting queue after a preemption",
        "Requests that were preempted wait before all others, and in the order in which they were admitted.",
        "vLLM `v1/core/sched/scheduler.py` `_preempt_request`. Are 3 blocks free after the first victim? And to which "
        "end of `waiting` does each victim go?",
    ),
    "important": (
        "victims by priority",
        "The least important request gives its memory back first; a lower value is more important.",
        "vLLM `v1/core/sched/scheduler.py` `schedule`. Which tuple (priority, arrival) is the largest, and which is "
        "after that one is gone?",
    ),
    "same_step": (
        "two equal prompts in one step",
        "In vLLM the second request finds a block of the first before it is computed.",
        "vLLM `v1/core/kv_cache_manager.py` `allocate_slots`; here `course_lib/kvcache/manager.py` `commit`. Which "
        "blocks are hashed when the second request is scheduled, and how many of them may it take?",
    ),
    "rows": (
        "rows of logits",
        "A row is needed where a token is chosen; vLLM computes one for each sequence.",
        "vLLM `v1/worker/gpu_model_runner.py` `_prepare_inputs`. `query_start_loc` is our `cu_seqlens_q`: 0, 1, … "
        "Which sequence has no choice?",
    ),
    "kept": (
        "temperature, top-k and top-p",
        "The order of the three decides which tokens are left.",
        "vLLM `v1/sample/sampler.py` `sample`. Temperature 0.5 squares the probabilities. Divide what top-k leaves by "
        "its sum before top-p.",
    ),
    "evicted": (
        "a tree that loses its leaves",
        "A node that others continue cannot go before them.",
        "SGLang `mem_cache/radix_cache.py` `evict`. Write down the leaves with their times. After each eviction: is "
        "its parent a leaf now, and are 60 tokens reached?",
    ),
}
"""{key: (title, why it matters, where to look)}"""


def is_plain(value):
    """Whether an answer is a list of ints or texts, or of lists of them."""
    return isinstance(value, (list, tuple)) and all(
        isinstance(one, (int, str)) and not isinstance(one, bool) or is_plain(one) for one in value
    )


def as_lists(value):
    return [as_lists(one) for one in value] if isinstance(value, (list, tuple)) else value


def question(key):
    """The Trial of one question."""

    def act(answer):
        got = answer()
        if not isinstance(got, dict):
            return got
        if key not in got:
            raise CourseError(f'The dict has no "{key}". It needs a key for each of {", ".join(QUESTIONS)}.')
        value = got[key]
        if not is_plain(value):
            raise CourseError(f'"{key}" is {value!r}. Each answer is a list of ints, of texts, or of lists of ints.')
        value = as_lists(value)
        return True if value == as_lists(read_vllm()[key]) else value

    return Trial(
        [f'read_vllm()["{key}"]'],
        act,
        show=lambda got: f"the answer to {key}" if got is True else repr(got),
        explain=lambda expected, got: f"Where to look: {QUESTIONS[key][2]}" if isinstance(got, list) else "",
    )


TRIALS = {key: question(key) for key in QUESTIONS}


def read_in_other_words():
    """Tuples for lists."""
    return {key: tuple(value) for key, value in read_vllm().items()}


def read_one_by_one():
    """Worked out, where a line of Python can, and in another order."""
    answers, free = {"evicted": list("XWZY"), "important": sorted("BCD", key="CBD".index)}, [7, 8, 9]
    ended = [5, 4, 3]
    free = [block for block in ended if block == 5] + free + [block for block in ended if block != 5]
    answers |= {"freed": free[:], "reused": [3, *[block for block in free if block != 3][:2]]}
    starts, hit = [0, 1, 64, 68], (64 - 1) // 16 * 16
    answers |= {"full_hit": [hit, 64 - hit], "tokens": [1, 63, 0], "preempted": [*"BC", *"DE"]}
    rows = [end - 1 for end in starts[1:]]
    return answers | {"rows": [rows, [rows[0], rows[2]]], "same_step": [32 + 32 - 31 // 16 * 16, 64], "kept": [0, 1]}


READ_VLLM = Exercise(
    id="18.read_vllm",
    title="Ten questions that the source answers",
    name="read_vllm",
    cases="questions",
    properties=[
        Property(f"`{key}`: {title}", meaning, [TRIALS[key]]) for key, (title, meaning, _) in QUESTIONS.items()
    ],
    mistakes=[*RETURNS_NOTHING, *MISTAKES(TRIALS)],
    hints=[
        "Each answer follows from the line in the table and from numbers in the question. Play it on paper: write the "
        "queue, the budget or the list down, and change it line by line.",
        "`freed`: `reversed([3, 4, 5])` is 5, 4, 3. Sort them into two lists by hash, in this order. `reused` begins "
        "with the queue that you found.",
        "`preempted` and `important`: after each victim, count the free blocks, and ask again while there are fewer "
        "than 3.",
        "`same_step`: the second request may take whole blocks of at most 31 tokens. `kept`: the squares are 16, 4, 1 "
        "parts for the first three tokens. `evicted`: when W is gone, Z has no children.",
    ],
    rights=[read_vllm, read_in_other_words, read_one_by_one],
    why="Each of these lines is a decision that another engine makes otherwise. With the order of the free queue, the "
    "victim, and the moment of hashing in your head, the rest of these files is bookkeeping.",
    after="The map in the lesson links each mechanism to its line.",
)
