"""Wrong answers written differently from those in the lessons: the diagnosis compares what they do.

CASES: {exercise id: [(part of the mistake's name, wrong answer)]}. None in place of a name means that
the answer makes no known mistake, and that the check must not name one.
"""

import random

import torch
from written_allocator import CASES as ALLOCATOR
from written_block_table import CASES as BLOCK_TABLE
from written_cache import CASES as CACHE
from written_chunked_prefill import CASES as CHUNKED_PREFILL
from written_continuous_loop import CASES as CONTINUOUS_LOOP
from written_dynamic_batcher import CASES as DYNAMIC_BATCHER
from written_fair_share import CASES as FAIR_SHARE
from written_find_the_bug import CASES as FIND_THE_BUG
from written_first import CASES as FIRST
from written_flash import CASES as FLASH
from written_generate_cached import CASES as GENERATE_CACHED
from written_intensity import CASES as INTENSITY
from written_kv_memory import CASES as KV_MEMORY
from written_larger import CASES as LARGER
from written_pack import CASES as PACK
from written_paged import CASES as PAGED
from written_preempt import CASES as PREEMPT
from written_priority import CASES as PRIORITY
from written_sharing import CASES as SHARING
from written_static_waste import CASES as STATIC_WASTE
from written_step import CASES as STEP
from written_stop_conditions import CASES as STOP_CONDITIONS
from written_swap import CASES as SWAP
from written_token_budget import CASES as TOKEN_BUDGET
from written_triton_flash import CASES as TRITON_FLASH
from written_triton_paged import CASES as TRITON_PAGED

OPENING = "Once upon a time, in a quiet harbour, there lived a patient otter named "


def hello_shows(name):
    print(OPENING, name, ".", sep="")


def hello_without_stop(name):
    return OPENING + str(name)


def hello_always_mia(name):
    name = "Mia"
    return OPENING + name + "."


def hello_without_f(name):
    return "Once upon a time, in a quiet harbour, there lived a patient otter named {name}."


def hello_tidies(name):
    return f"{OPENING}{name[0].upper() + name[1:].lower()}."


def hello_line(name):
    return "".join([OPENING, name, ".", "\n"])


def hello_quotes(name):
    return f"{OPENING}{name!r}."


def hello_misspelt(name):
    return f"{OPENING.replace('harbour', 'harbor')}{name}."


def hello_forgets(name):
    OPENING + name + "."


def hello_other_sentence(name):
    return "Once there was a badger."


def hello_short(name):
    return "Hello"


class Text(str):
    """A subclass of str."""


def hello_own_class(name):
    return Text(OPENING + "Mia.")


def greedy_smallest(logits):
    return min(range(len(logits)), key=lambda i: logits[i])


def greedy_magnitude(logits):
    return int((logits**2).argmax())


def greedy_tensor(logits):
    return torch.max(logits, 0).indices


def greedy_or_equal(logits):
    best = 0
    for i, x in enumerate(logits):
        if x >= logits[best]:
            best = i
    return best


def greedy_score(logits):
    return float(sorted(logits.tolist())[-1])


def greedy_draws(logits):
    return random.choices(range(len(logits)), logits.softmax(-1).tolist())[0]


def greedy_draws_torch(logits):
    return torch.distributions.Categorical(logits=logits).sample().item()


def greedy_from_one(logits):
    return [*enumerate(logits.tolist(), 1)][greedy_right(logits)][0]


def greedy_right(logits):
    return int(logits.argmax())


def greedy_second(logits):
    return int(logits.argsort(descending=True)[min(1, len(logits) - 1)])


def greedy_spoils(logits):
    best = int(logits.argmax())
    logits[best] = float("-inf")
    return best


def greedy_spoils_first(logits):
    best = max(range(len(logits)), key=lambda i: logits[i])
    logits[0] = 9
    return best


def greedy_halves(logits):
    logits /= 2
    return int(logits.argmax())


def greedy_masks(logits):
    for i in range(len(logits)):
        if logits[i] < logits.max():
            logits[i] = -torch.inf
    return int(logits.argmax())


def greedy_shows(logits):
    print(int(logits.argmax()))


def greedy_forgets(logits):
    int(logits.argmax())


def greedy_numpy(logits):
    import numpy

    return numpy.argmax(logits.numpy())


def greedy_float(logits):
    return 1.0 * greedy_right(logits)


def greedy_text(logits):
    return f"{greedy_right(logits)}"


def work_once(prompt_tokens, new_tokens):
    scores = 0
    for length in range(prompt_tokens, prompt_tokens + new_tokens):
        scores += sum(range(1, length + 1))
    return new_tokens, scores


def work_ahead(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(1, new_tokens + 1)]
    return sum(lengths), sum(m * (m + 1) // 2 for m in lengths)


def work_square(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(m**2 for m in lengths)


def work_strict(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(sum(range(m)) for m in lengths)


def work_divided(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(m * (m + 1) / 2 for m in lengths)


def work_flat(prompt_tokens, new_tokens):
    return prompt_tokens * new_tokens, new_tokens * sum(range(1, prompt_tokens + 1))


def work_guess(prompt_tokens, new_tokens):
    return prompt_tokens + 7 * new_tokens, 3


def work_shows(prompt_tokens, new_tokens):
    lengths = range(prompt_tokens, prompt_tokens + new_tokens)
    print(sum(lengths), sum(m * (m + 1) // 2 for m in lengths))


def work_one_number(prompt_tokens, new_tokens):
    return sum(m + m * (m + 1) // 2 for m in range(prompt_tokens, prompt_tokens + new_tokens))


def work_without_prompt(prompt_tokens, new_tokens):
    return sum(range(new_tokens)), sum(m * (m + 1) // 2 for m in range(new_tokens))


CASES = {
    "00.hello": [
        ("printed, not returned", hello_shows),
        ("full stop", hello_without_stop),
        ("name that is passed is not used", hello_always_mia),
        ("before the quotes is missing", hello_without_f),
        ("capitals are changed", hello_tidies),
        ("white space", hello_line),
        ("is in quotes", hello_quotes),
        (None, hello_misspelt),
        ("nothing is returned", hello_forgets),
        (None, hello_other_sentence),
        (None, hello_short),
        (None, hello_own_class),
    ],
    "01.greedy": [
        ("smallest logit", greedy_smallest),
        ("sign is lost", greedy_magnitude),
        ("a tensor is returned", greedy_tensor),
        ("last id among equals", greedy_or_equal),
        ("largest value is returned", greedy_score),
        ("drawn at random", greedy_draws),
        ("drawn at random", greedy_draws_torch),
        ("counted from 1", greedy_from_one),
        (None, greedy_second),
        ("logits are changed", greedy_spoils),
        ("logits are changed", greedy_spoils_first),
        ("logits are changed", greedy_halves),
        ("logits are changed", greedy_masks),
        ("printed, not returned", greedy_shows),
        ("nothing is returned", greedy_forgets),
        ("not a plain `int`", greedy_numpy),
        ("not a plain `int`", greedy_float),
        ("not a plain `int`", greedy_text),
    ],
    **LARGER,
    **CACHE,
    **GENERATE_CACHED,
    **FIND_THE_BUG,
    **KV_MEMORY,
    **ALLOCATOR,
    **BLOCK_TABLE,
    **PAGED,
    **FLASH,
    **TRITON_FLASH,
    **TRITON_PAGED,
    **INTENSITY,
    **STATIC_WASTE,
    **DYNAMIC_BATCHER,
    **SHARING,
    **PACK,
    **STOP_CONDITIONS,
    **STEP,
    **CONTINUOUS_LOOP,
    **TOKEN_BUDGET,
    **CHUNKED_PREFILL,
    **PRIORITY,
    **FAIR_SHARE,
    **PREEMPT,
    **SWAP,
    "01.count_work": [
        ("counted only once", work_once),
        ("one token longer", work_ahead),
        ("whole square", work_square),
        ("diagonal is forgotten", work_strict),
        ("numbers are floats", work_divided),
        ("as long as the prompt", work_flat),
        (None, work_guess),
        ("printed, not returned", work_shows),
        ("only one of the two numbers", work_one_number),
        ("prompt is forgotten", work_without_prompt),
    ],
}
for _exercise, _cases in FIRST.items():
    CASES[_exercise] += _cases
