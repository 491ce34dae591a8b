"""The mistakes in 10.stop_conditions. Each is the right answer with one part replaced."""

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
    length_first=False,
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
            ends |= set(params.stop_token_ids)
        if eos and not eos_ignored(params):
            ends |= set(eos_token_ids)
        if ends & set(looks(request)):
            reason = reasons[0]
        if over(len(text) if chars else count(request), params.max_tokens) and (reason is None or length_first):
            reason = reasons[1]
        return says(reason), short

    return answer


MISTAKES = [
    Mistake(
        "the prompt counts towards `max_tokens`.",
        "A long prompt would leave no room for an answer. Count what comes after `num_prompt_tokens`.",
        wrong(count=lambda r: len(r.token_ids)),
    ),
    Mistake(
        "it goes on after `max_tokens` tokens.",
        "With max_tokens=1 it is over after one token. Ask with `>=`, not with `>`.",
        wrong(over=lambda n, most: n > most),
    ),
    Mistake(
        "strings alone are looked at.",
        "Most texts end at an end token, or at `max_tokens`. Ask for these, too.",
        (wrong(over=lambda n, most: False, eos=False, ids=False), wrong(over=lambda n, most: False, eos=False)),
    ),
    Mistake(
        "characters are counted, not tokens.",
        "A token is a piece of text, often a word. Count what comes after `num_prompt_tokens`.",
        wrong(chars=True),
    ),
    Mistake(
        "it ends one token too early.",
        "The newest token is in `token_ids` already.",
        wrong(over=lambda n, most: n + 1 >= most),
    ),
    Mistake(
        "`ignore_eos` is not looked at.",
        "It says that the model's end tokens are tokens like others.",
        wrong(eos_ignored=lambda p: False),
    ),
    Mistake(
        "`ignore_eos` switches the caller's own stop tokens off, too.",
        "It is about the model's end tokens alone.",
        wrong(all_ignored=True),
    ),
    Mistake(
        "the model's end tokens are forgotten.",
        "`eos_token_ids` are the model's; they end a text unless `ignore_eos`.",
        wrong(eos=False),
    ),
    Mistake("`stop_token_ids` are forgotten.", "The caller may name more tokens that end the text.", wrong(ids=False)),
    Mistake(
        "only the first end token is known.",
        "A model may have several, and so may a caller: `newest in …`.",
        lambda request, eos, text: stop_conditions(request, tuple(eos)[:1], text),
    ),
    Mistake(
        "end tokens of the prompt end the text.",
        "A prompt of several turns holds end tokens. Look at the newest token, or at what comes after `num_prompt_tokens`.",
        wrong(looks=lambda r: r.token_ids),
    ),
    Mistake('"length" is said where the text was done.', 'Ask for "stop" first.', wrong(length_first=True)),
    Mistake(
        "a stop string is seen only at the very end of the text.",
        'The token that completes it may bring more: ". B" holds "." and does not end with it.',
        wrong(holds=lambda stop, text: text.endswith(stop)),
    ),
    Mistake(
        "the text is not cut.",
        "A stop string is not handed out: cut the text where it begins.",
        wrong(cut=lambda text, stops: text),
    ),
    Mistake(
        "the text is cut behind the stop string.",
        "Nobody wants to see it: cut where it begins.",
        wrong(cut=lambda text, stops: text[: min(text.find(s) + len(s) for s in stops)]),
    ),
    Mistake(
        "the text is cut at the last stop string.",
        "What comes after the first one is not to be seen.",
        (
            wrong(cut=lambda text, stops: text[: max(text.rfind(s) for s in stops)]),
            wrong(cut=lambda text, stops: text[: min(text.rfind(s) for s in stops)]),
        ),
    ),
    Mistake(
        "the text is cut at the string that is named first, not at the one that comes first.",
        "Of several stop strings the earliest in the text counts: the smallest place.",
        wrong(cut=lambda text, stops: text[: text.find(stops[0])]),
    ),
    Mistake(
        "a truth value is returned as the reason.",
        'The caller is told why: "stop" or "length", or None.',
        wrong(says=bool),
    ),
    Mistake(
        '"stop" and "length" are exchanged.',
        '"stop": the text was done. "length": it was cut off.',
        wrong(reasons=("length", "stop")),
    ),
]
