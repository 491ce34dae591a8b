"""The exercise 10.stop_conditions: whether a sequence ends after its newest token, and which text is returned."""

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.errors import CourseError
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .solutions.stop_conditions import stop_conditions
from .stop_conditions_mistakes import MISTAKES


def stop_by_sets(request, eos_token_ids, text):
    """The token ids that end a sequence as one set; the text is cut by splitting it."""
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
    """Looks for a stop string at every position of the text."""
    for at in range(len(text)):
        if any(text.startswith(stop, at) for stop in request.params.stop):
            return "stop", text[:at]
    output = request.token_ids[request.num_prompt_tokens :]
    ends = [*request.params.stop_token_ids, *([] if request.params.ignore_eos else eos_token_ids)]
    if output and output[-1] in ends:
        return "stop", text
    return ("length" if len(output) >= request.params.max_tokens else None), text


def asked(prompt, output, eos=(), text=None, note="", **params):
    """The Trial of one call. output: the tokens after the prompt; text: as a string, made up where it is not given."""
    text = "abcdefghijklmnop"[: 3 * len(output)] if text is None else text  # three characters per token

    def made():
        request = Request("a", prompt, SamplingParams(**params))
        request.token_ids += output
        return request

    def act(answer):
        found = answer(made(), tuple(eos), text)
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            if found is None or isinstance(found, (str, bool)):
                raise CourseError(f"stop_conditions returned {found!r}; it must return a pair (finish_reason, text).")
            raise CourseError(
                f"stop_conditions returned {type(found).__name__}; it must return a pair (finish_reason, text)."
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
    """The Trial that compares the request after the call."""

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
    asked([5], [2, 6], (2,), max_tokens=9, note="only the newest token counts"),
    asked([5], [6, 3, 7], (2, 3), max_tokens=9, note="only the newest token counts"),
    asked([5], [2, 2, 6], (2,), max_tokens=9, note="only the newest token counts"),
    asked([2, 5, 2], [6, 7], (2,), max_tokens=9),
    asked([5], [6, 4], (2, 3, 4), max_tokens=9),
    asked([5], [0], (0,), max_tokens=9, note="0 is a token like any other"),
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
    asked([5], [6, 0], (2,), max_tokens=9, stop_token_ids=(7, 0), note="0 is a token like any other"),
    asked([5], [128_009], (2,), max_tokens=9, stop_token_ids=(128_009,)),
    asked([5], [7, 6], max_tokens=9, stop_token_ids=(7,), note="only the newest token counts"),
    asked([5], [8, 7, 6], (2,), max_tokens=9, stop_token_ids=(7, 8), note="only the newest token counts"),
    asked([5, 9], [7, 4], max_tokens=9, stop_token_ids=(7, 8), note="only the newest token counts"),
]
TIES = [
    asked([5], [2], (2,), max_tokens=1),
    asked([5], [6, 2], (2,), max_tokens=2),
    asked([5], [7], max_tokens=1, stop_token_ids=(7,)),
    asked([5], [7, 8], max_tokens=2, text="so.", stop=(".",)),
    asked([5], [7, 8, 6], max_tokens=3, text="a, b", stop=(",",)),
]
BOTH_STOP = [
    asked([5], [7], text="a.", max_tokens=9, stop=(".",), stop_token_ids=(7,)),
    asked([5], [6, 2], (2,), text="so. b", max_tokens=9, stop=(".",)),
    asked([5], [6, 8], (2,), text="x END", max_tokens=9, stop=("END",), stop_token_ids=(7, 8)),
    asked([5], [6, 2], (2,), text="a, b", max_tokens=2, stop=(",",)),
    asked([5], [6, 7], (2,), text="go! So", max_tokens=2, stop=("!",), stop_token_ids=(7,), ignore_eos=True),
]
STOP_STRINGS = [
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
    asked([5], [6, 7], text="at the end", max_tokens=9, stop=("END",)),
    asked([5], [6, 7], text="The end. END", max_tokens=9, stop=("END",)),
    asked([5], [6, 7], text="Stop, and stop", max_tokens=9, stop=("stop",)),
    asked([5], [6, 7], text="a b A", max_tokens=9, stop=("A",)),
    asked([5], [6, 7], text="Ah. b", max_tokens=9, stop=("B",)),
    asked([5], [6, 7], text="So be it", max_tokens=9, stop=("so", "IT")),
    asked([5], [6, 7], text=" a b ", max_tokens=9, stop=("b",)),
    asked([5], [6, 7], text="a+b", max_tokens=9, stop=("+b",)),
    asked([5], [6, 7], text="END of", max_tokens=9, stop=("END",)),
    asked([5], [6, 7], text=", a. b", max_tokens=9, stop=(".", ",")),
]
AS_IT_IS = [
    asked([5], [6], text="a ", max_tokens=9),
    asked([5], [6], text=" a", max_tokens=9, stop=(".",)),
    asked([5], [6, 7], text="a\n", max_tokens=2),
    asked([5], [6, 2], (2,), text=" A b ", max_tokens=9),
    asked([5], [6, 7], text="", max_tokens=9, stop=(".",)),
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
            'After `max_tokens` new tokens the reason is "length"',
            "The tokens of the prompt do not count: the model did not write them.",
            LENGTH,
        ),
        Property(
            'After the model\'s end token the reason is "stop", unless `ignore_eos`',
            "Only the new token counts: an end token in the prompt ends nothing.",
            EOS,
        ),
        Property(
            'After any of `stop_token_ids` the reason is "stop", also with `ignore_eos`',
            "The caller asked for these; `ignore_eos` concerns only the end tokens of the model.",
            IDS,
        ),
        Property(
            'With a stop string in the text the reason is "stop", and the text is cut where the first one begins',
            "Stop strings are searched in the text, since one can be spread over several tokens, or end in the "
            "middle of one.",
            STOP_STRINGS,
        ),
        Property(
            "A text without a stop string is returned as it is",
            "The next token goes on where the text ends: a space there is part of the answer.",
            AS_IT_IS,
        ),
        Property(
            'Where both reasons apply, it is "stop"',
            '"length" tells the caller that the text was cut off. Here it was complete.',
            TIES,
        ),
        Property(
            "Where a stop string is in the text and the new token ends the request too, the text is cut",
            "The text is what the client sees. A stop string never belongs to it.",
            BOTH_STOP,
        ),
        Property("The request is not changed", "The function only answers a question.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the request is changed.",
            "The function only answers a question: its caller changes the request.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
    ],
    hints=[
        "There are three questions. Is there a stop string in the text? Is the newest token one that ends the "
        "sequence? Are `max_tokens` tokens written?",
        "The newest token is `request.token_ids[-1]`; the output is everything after `request.num_prompt_tokens`. "
        "The model's own end tokens count only without `params.ignore_eos`.",
        "`text.find(stop)` returns where a stop string begins, and -1 if it is not there. Cut at the smallest "
        "position that was found.",
        "Check the stop strings first, then the token, then the length: the first that applies is the reason.",
    ],
    rights=[stop_conditions, stop_by_sets, stop_at_first],
    why="The function is called after each token of each request, so it looks only at the newest token and at counts. "
    "The engine's `Request.append` asks the same. Its `Text` looks for stop strings only in the part that the "
    "newest token added, and holds back a character that is not complete yet. vLLM has the check for tokens in "
    "`check_stop` and the check for strings in its detokenizer.",
)
