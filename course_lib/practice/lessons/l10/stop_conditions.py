"""Cases of 10.stop_conditions: whether a text is over after its newest token, and what of it is handed out."""

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.stop_conditions import stop_conditions
from .stop_conditions_mistakes import MISTAKES


def stop_by_sets(request, eos_token_ids, text):
    """The ids that end it as a set; the cut by splitting."""
    params, reason = request.params, None
    ends = set(params.stop_token_ids) | (set() if params.ignore_eos else set(eos_token_ids))
    if len(request.output_ids) == params.max_tokens:
        reason = "length"
    if request.token_ids[-1] in ends:
        reason = "stop"
    for stop in params.stop:
        if stop in text:
            reason = "stop"
    for stop in params.stop:
        text = min(text, text.split(stop)[0], key=len)
    return [reason, text]


def stop_at_first(request, eos_token_ids, text):
    """Looks at every place of the text for a stop string."""
    for at in range(len(text)):
        if any(text.startswith(stop, at) for stop in request.params.stop):
            return "stop", text[:at]
    output = request.token_ids[request.num_prompt_tokens :]
    ends = [*request.params.stop_token_ids, *([] if request.params.ignore_eos else eos_token_ids)]
    if output and output[-1] in ends:
        return "stop", text
    return ("length" if len(output) >= request.params.max_tokens else None), text


def asked(prompt, output, eos=(), text=None, note="", **params):
    """The Trial of one question."""
    text = "abcdefghijklmnop"[: 3 * len(output)] if text is None else text  # a token is more than a character

    def made():
        request = Request("a", prompt, SamplingParams(**params))
        request.token_ids += output
        return request

    def act(answer):
        found = answer(made(), tuple(eos), text)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            if found is None or isinstance(found, (str, bool)):
                raise CourseError(f"stop_conditions returned {found!r}; a pair is asked for, (finish_reason, text).")
            raise CourseError(
                f"stop_conditions returned {type(found).__name__}; a pair is asked for, (finish_reason, text)."
            )
        return tuple(found)

    given = ", ".join(f"{key}={value!r}" for key, value in params.items())
    lines = [
        f'a = Request("a", {prompt}, SamplingParams({given}))',
        f"a.token_ids += {output}",
        f"stop_conditions(a, {tuple(eos)}, {text!r})",
    ]
    trial = Trial(
        lines,
        act,
        note=note,
        size=100 * len(output)
        + 10 * len(prompt)
        + 40 * len(params)
        + 10 * len(eos)
        + len(text)
        + sum(map(len, params.get("stop", ()))),
    )
    return trial


def untouched(prompt, output, **params):
    """The Trial that looks at the request after the call."""

    def act(answer):
        request = Request("a", prompt, SamplingParams(**params))
        request.token_ids += output
        answer(request, (2,), "ab")
        return request.token_ids, request.num_prompt_tokens, request.finish_reason

    given = ", ".join(f"{key}={value!r}" for key, value in params.items())
    lines = [
        f'a = Request("a", {prompt}, SamplingParams({given})); a.token_ids += {output}',
        "stop_conditions(a, (2,), 'ab')",
        "a.token_ids, a.num_prompt_tokens, a.finish_reason",
    ]
    return Trial(lines, act, size=len(output))


LENGTH = [
    asked([5], [6], max_tokens=1),
    asked([5], [6], max_tokens=2),
    asked([5, 6, 7], [8], max_tokens=3),
    asked([5, 6], [7, 8], max_tokens=2),
    asked([5, 6], [7, 8, 9], max_tokens=4),
    asked([5], [7, 8, 9, 4], max_tokens=4),
    asked([5, 6, 7, 8], [9], max_tokens=2),
    asked([5], [6, 7], max_tokens=4),
]
EOS = [
    asked([5], [2], (2,), max_tokens=9),
    asked([5], [6, 2], (2,), max_tokens=9),
    asked([5], [3], (2, 3), max_tokens=9),
    asked([5], [2], (2,), max_tokens=9, ignore_eos=True),
    asked([5], [6, 3], (2, 3), max_tokens=9, ignore_eos=True),
    asked([5], [6, 2], (2,), max_tokens=2, ignore_eos=True),
    asked([5, 2], [6], (2,), max_tokens=9, note="the prompt may hold the end token"),
    asked([2, 5, 2], [6, 7], (2,), max_tokens=9),
    asked([5], [6, 4], (2, 3, 4), max_tokens=9),
    asked([5, 6], [7, 8, 3], (2, 3), max_tokens=9),
]
IDS = [
    asked([5], [7], max_tokens=9, stop_token_ids=(7,)),
    asked([5], [6, 8], max_tokens=9, stop_token_ids=(7, 8)),
    asked([5, 7], [6], max_tokens=9, stop_token_ids=(7,)),
    asked([5], [7], (2,), max_tokens=9, stop_token_ids=(7,), ignore_eos=True),
    asked([5], [6, 8], (2,), max_tokens=9, stop_token_ids=(7, 8), ignore_eos=True),
    asked([7, 7], [7], (2,), max_tokens=9, stop_token_ids=(7,), ignore_eos=True),
    asked([5], [2], (2,), max_tokens=9, stop_token_ids=(7,)),
]
TIES = [
    asked([5], [2], (2,), max_tokens=1),
    asked([5], [6, 2], (2,), max_tokens=2),
    asked([5], [7], max_tokens=1, stop_token_ids=(7,)),
    asked([5], [7, 8], max_tokens=2, text="so.", stop=(".",)),
]
TEXTS = [
    asked([5], [6], text="a.", max_tokens=9, stop=(".",)),
    asked([5], [6], text="ab", max_tokens=9, stop=(".",)),
    asked([5], [6, 7], text="a. b", max_tokens=9, stop=(".",)),
    asked([5], [6, 7], text="one END tw", max_tokens=9, stop=("END",)),
    asked([5], [6, 7, 8], text="a, b. c", max_tokens=9, stop=(".", ",")),
    asked([5], [6, 7, 8], text="a, b. c", max_tokens=9, stop=(",", ".")),
    asked([5], [6, 7], text="a\n\n\n", max_tokens=9, stop=("\n\n",)),
    asked([5], [6], text=".", max_tokens=9, stop=(".",)),
    asked([5], [6, 7], text="EN", max_tokens=9, stop=("END",)),
    asked([5], [6, 7, 8], text="a.b.c", max_tokens=9, stop=(".",)),
    asked([5], [6, 7], text="go on, on", max_tokens=9, stop=("on",)),
    asked([5], [6, 7], text="x END. y", max_tokens=9, stop=(".", "END")),
    asked([5], [6, 7, 8], text="a; b, c.", max_tokens=9, stop=(".", ",", ";")),
    asked([5], [6, 7], text="go! So", max_tokens=9, stop=(".", "!")),
    asked([5], [6, 7], text="go! So", max_tokens=9, stop=("!", ".")),
]
UNTOUCHED = [
    untouched([5], [6, 2], max_tokens=9),
    untouched([5, 6], [7], max_tokens=1),
    untouched([5], [6], max_tokens=9),
]

STOP_CONDITIONS = Exercise(
    id="10.stop_conditions",
    title="When a text is over",
    name="stop_conditions",
    cases="questions",
    properties=[
        Property(
            'After `max_tokens` new tokens it is over: "length"',
            "The prompt is not written by the model and does not count.",
            LENGTH,
        ),
        Property(
            'The model\'s end token ends it: "stop", unless `ignore_eos`',
            "Only what the model writes counts: an end token in the prompt ends nothing.",
            EOS,
        ),
        Property(
            "So does any of `stop_token_ids`, also with `ignore_eos`",
            "These were asked for by the caller; `ignore_eos` is about the model's own.",
            IDS,
        ),
        Property(
            "A stop string in the text ends it, and the text is cut where the first one begins",
            "Stop strings are looked for in text, since one can be spread over several tokens, or end in the middle of one.",
            TEXTS,
        ),
        Property(
            'Where both would do, the reason is "stop"',
            '"length" tells the caller that the text was cut off. It was not: it was done.',
            TIES,
        ),
        Property("The request stays as it is", "The function answers a question.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the request is changed.",
            "Only look: whoever asked does what is to be done.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
    ],
    hints=[
        "Three questions, each with an answer of its own: is there a stop string in the text? Is the newest token one that ends "
        "it? Are there `max_tokens` of them?",
        "The newest token is `request.token_ids[-1]`; what was written is everything after `request.num_prompt_tokens`. "
        "The model's own end tokens count only without `params.ignore_eos`.",
        "`text.find(stop)` says where a stop string begins, and -1 if it is not there. Cut at the smallest place that was found.",
        "Ask for the stop strings first, then for the token, then for the length: the first that holds is the reason.",
    ],
    rights=[stop_conditions, stop_by_sets, stop_at_first],
    why="It is asked after each token of each request, so it looks at the newest token and at counts. The engine's "
    "`Request.append` asks the same; its `Text` looks for stop strings only in what the newest token added, and holds back "
    "a character that is not whole yet. vLLM has it in `check_stop` for tokens and in its detokenizer for strings.",
)
