"""The mistakes in 10.stop_conditions. Each is the right answer with one part replaced."""

import re

from course_lib.practice.judge.exercise import Mistake

from .solutions.stop_conditions import stop_conditions


def wrong(
    *,
    count=lambda r: len(r.token_ids) - r.num_prompt_tokens,
    over=lambda n, most: n >= most,
    eos=True,
    eos_ignored=lambda p: p.ignore_eos,
    ids=True,
    all_ignored=False,
    chars=False,
    looks=lambda r: r.token_ids[-1:],
    looks_for_eos=None,
    length_first=False,
    token_first=False,
    holds=lambda stop, text: stop in text,
    cut=lambda text, stops: text[: min(text.find(s) for s in stops)],
    says=lambda reason: reason,
    reasons=("stop", "length"),
):
    """A wrong answer: the right one with one of its parts replaced."""

    def answer(request, eos_token_ids, text):
        params, reason, short = request.params, None, text
        stops = [stop for stop in params.stop if holds(stop, text)]
        if stops:
            reason, short = reasons[0], cut(text, stops)
        ends = set()
        if ids and not (all_ignored and params.ignore_eos):
            ends |= set(params.stop_token_ids) & set(looks(request))
        if eos and not eos_ignored(params):
            ends |= set(eos_token_ids) & set((looks_for_eos or looks)(request))
        if ends:
            reason, short = reasons[0], text if token_first else short
        is_open = reason is None or (not stops if length_first == "after strings" else length_first)
        if over(len(text) if chars else count(request), params.max_tokens) and is_open:
            reason = reasons[1]
            short = text if length_first == "uncut" else short
        return says(reason), short

    return answer


def strips(answer, found):
    """Whether the outcome is right but for white space at an end of the text."""
    reason, text = found.trial.outcome(stop_conditions)[0]
    said, short = found.outcome
    return reason == said and len(short) < len(text) and short in text and text.strip() == short.strip()


MISTAKES = [
    Mistake(
        "the prompt counts towards `max_tokens`.",
        "A long prompt would leave no tokens for the answer. Count the tokens after `num_prompt_tokens`.",
        wrong(count=lambda r: len(r.token_ids)),
    ),
    Mistake(
        "the sequence goes on after `max_tokens` tokens.",
        "With max_tokens=1 the sequence ends after one token: `>=`, not `>`.",
        wrong(over=lambda n, most: n > most),
    ),
    Mistake(
        "only stop strings are checked.",
        "Most sequences end at an end token, or at `max_tokens`. Check these too.",
        (wrong(over=lambda n, most: False, eos=False, ids=False), wrong(over=lambda n, most: False, eos=False)),
    ),
    Mistake(
        "characters are counted, not tokens.",
        "A token is a piece of text, often a word. Count the tokens after `num_prompt_tokens`.",
        wrong(chars=True),
    ),
    Mistake(
        "the sequence ends one token too early.",
        "The newest token is in `token_ids` already.",
        wrong(over=lambda n, most: n + 1 >= most),
    ),
    Mistake(
        "`ignore_eos` is not checked.",
        "With it, the end tokens of the model are tokens like any others.",
        wrong(eos_ignored=lambda p: False),
    ),
    Mistake(
        "`ignore_eos` switches off the caller's stop tokens too.",
        "It concerns only the end tokens of the model.",
        wrong(all_ignored=True),
    ),
    Mistake(
        "the model's end tokens are not checked.",
        "`eos_token_ids` are the end tokens of the model. They end a sequence unless `ignore_eos`.",
        wrong(eos=False),
    ),
    Mistake(
        "`stop_token_ids` are not checked.", "The caller may name more tokens that end the sequence.", wrong(ids=False)
    ),
    Mistake(
        "only the first end token is checked.",
        "A model may have several end tokens, and a caller may name several: `newest in …`.",
        lambda request, eos, text: stop_conditions(request, tuple(eos)[:1], text),
    ),
    Mistake(
        "end tokens of the prompt end the sequence.",
        "A prompt of several turns holds end tokens. Check the newest token, or the tokens after `num_prompt_tokens`.",
        (
            wrong(looks=lambda r: r.token_ids),
            wrong(looks=lambda r: r.token_ids, looks_for_eos=lambda r: r.token_ids[-1:]),
            wrong(looks=lambda r: r.token_ids[-1:], looks_for_eos=lambda r: r.token_ids),
        ),
    ),
    Mistake(
        "earlier tokens of the output are looked at too.",
        "The function was called after each of them. Look at the newest token, `request.token_ids[-1]`, only.",
        (
            wrong(looks=lambda r: r.token_ids[r.num_prompt_tokens :]),
            wrong(looks=lambda r: r.token_ids[r.num_prompt_tokens :], looks_for_eos=lambda r: r.token_ids[-1:]),
            wrong(looks_for_eos=lambda r: r.token_ids[r.num_prompt_tokens :]),
        ),
    ),
    Mistake(
        "a token that ends the request keeps the text from being cut.",
        "A stop string is cut off in every case: look for it first.",
        wrong(token_first=True),
    ),
    Mistake(
        "capital and small letters are taken for the same.",
        'A client that asks for "END" does not mean "end": compare the text as it is.',
        (
            wrong(
                holds=lambda stop, text: stop.lower() in text.lower(),
                cut=lambda text, stops: text[: min(text.lower().find(s.lower()) for s in stops)],
            ),
            wrong(holds=lambda stop, text: stop.lower() in text.lower()),
        ),
    ),
    Mistake(
        "a stop string at the very beginning of the text is not seen.",
        "`find` returns 0 there, which is a place like any other, and -1 where the string is not in the text. "
        "`stop in text` says whether it is.",
        wrong(holds=lambda stop, text: text.find(stop) > 0),
    ),
    Mistake(
        "a stop string is read as a regular expression.",
        'There "." stands for any character. A stop string is looked for as it is: `stop in text`, `text.find(stop)`.',
        wrong(
            holds=lambda stop, text: re.search(stop, text),
            cut=lambda text, stops: text[: min(re.search(stop, text).start() for stop in stops)],
        ),
    ),
    Mistake(
        "white space is taken off the text.",
        "Spaces and line breaks belong to the answer. Return the text as it is, or cut where the stop string begins.",
        is_made_by=strips,
    ),
    Mistake(
        '"length" is returned where the text is complete.',
        'Check for "stop" first.',
        (wrong(length_first=True), wrong(length_first="uncut"), wrong(length_first="after strings")),
    ),
    Mistake(
        "a stop string is found only at the very end of the text.",
        'The token that completes it may contain more text: ". B" contains "." and does not end with it.',
        wrong(holds=lambda stop, text: text.endswith(stop)),
    ),
    Mistake(
        "the text is not cut.",
        "A stop string is not returned: cut the text where it begins.",
        wrong(cut=lambda text, stops: text),
    ),
    Mistake(
        "the text is cut after the stop string.",
        "A stop string is not part of the answer: cut the text where it begins.",
        wrong(cut=lambda text, stops: text[: min(text.find(s) + len(s) for s in stops)]),
    ),
    Mistake(
        "the text is cut at the last stop string.",
        "The text after the first stop string is not returned.",
        (
            wrong(cut=lambda text, stops: text[: max(text.rfind(s) for s in stops)]),
            wrong(cut=lambda text, stops: text[: min(text.rfind(s) for s in stops)]),
            wrong(cut=lambda text, stops: text[: max(text.find(s) for s in stops)]),
        ),
    ),
    Mistake(
        "the text is cut at the first string of `stop`, not at the first one in the text.",
        "Of several stop strings the earliest in the text counts: take the smallest position.",
        wrong(cut=lambda text, stops: text[: text.find(stops[0])]),
    ),
    Mistake(
        "True or False is returned as the reason.",
        'Return the reason itself: "stop" or "length", or None.',
        wrong(says=bool),
    ),
    Mistake(
        '"stop" and "length" are exchanged.',
        '"stop": the text is complete. "length": it was cut off.',
        wrong(reasons=("length", "stop")),
    ),
]
