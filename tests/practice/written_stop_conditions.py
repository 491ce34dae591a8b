"""Wrong answers to 10.stop_conditions as people write them; see written_otherwise.py."""

from course_lib.practice.lessons.l10.stop_conditions import stop_conditions


def stop_characters(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    return (reason if reason == "stop" else "length" if len(text) >= request.params.max_tokens else None), short


def stop_strings(request, eos_token_ids, text):
    for cut in sorted(text.find(stop) for stop in request.params.stop if stop in text):
        return "stop", text[:cut]
    return None, text


def stop_min_find(request, eos_token_ids, text):
    """`find` gives -1 where a string is not there, and the least of all is then -1."""
    cut = min((text.find(stop) for stop in request.params.stop), default=-1)
    reason, _ = stop_conditions(request, eos_token_ids, "")
    return ("stop", text[:cut]) if cut >= 0 else (reason, text)


def stop_cuts_length(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    return reason, short[: request.params.max_tokens] if reason == "length" else short


def stop_counts_all(request, eos_token_ids, text):
    reason, text = stop_conditions(request, eos_token_ids, text)
    return (reason or ("length" if request.num_tokens >= request.params.max_tokens else None)), text


def stop_greater(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    if reason == "length" and request.num_tokens - request.num_prompt_tokens == request.params.max_tokens:
        reason = None
    return reason, short


def stop_never_eos(request, eos_token_ids, text):
    return stop_conditions(request, (), text)


def stop_length_first(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    return ("length" if len(request.output_ids) >= request.params.max_tokens else reason), short


def stop_ends_with(request, eos_token_ids, text):
    for stop in request.params.stop:
        if text[-len(stop) :] == stop:
            return "stop", text[: -len(stop)]
    if any(stop in text for stop in request.params.stop):
        held, request.params = (
            request.params,
            type(request.params)(max_tokens=request.params.max_tokens, stop_token_ids=request.params.stop_token_ids),
        )
        answer = stop_conditions(request, eos_token_ids, text)
        request.params = held
        return answer
    return stop_conditions(request, eos_token_ids, text)


def stop_whole_text(request, eos_token_ids, text):
    return stop_conditions(request, eos_token_ids, text)[0], text


def stop_any_token(request, eos_token_ids, text):
    if set(eos_token_ids) & set(request.token_ids) and not request.params.ignore_eos:
        return "stop", stop_conditions(request, eos_token_ids, text)[1]
    if set(request.params.stop_token_ids) & set(request.token_ids):
        return "stop", stop_conditions(request, eos_token_ids, text)[1]
    return stop_conditions(request, eos_token_ids, text)


def stop_only_reason(request, eos_token_ids, text):
    return stop_conditions(request, eos_token_ids, text)[0]


def stop_marks(request, eos_token_ids, text):
    answer = stop_conditions(request, eos_token_ids, text)
    request.finish_reason = answer[0]
    return answer


def stop_token_first(request, eos_token_ids, text):
    params, newest = request.params, request.token_ids[-1]
    if newest in params.stop_token_ids or (newest in eos_token_ids and not params.ignore_eos):
        return "stop", text
    return stop_conditions(request, eos_token_ids, text)


def stop_token_in_output(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    return ("stop" if any(t in request.params.stop_token_ids for t in request.output_ids) else reason), short


def stop_any_case(request, eos_token_ids, text):
    places = [text.lower().find(stop.lower()) for stop in request.params.stop if stop.lower() in text.lower()]
    return ("stop", text[: min(places)]) if places else stop_conditions(request, eos_token_ids, text)


def stop_at_the_last_of_them(request, eos_token_ids, text):
    places = [text.find(stop) for stop in request.params.stop if stop in text]
    return ("stop", text[: max(places)]) if places else stop_conditions(request, eos_token_ids, text)


def stop_strips(request, eos_token_ids, text):
    reason, short = stop_conditions(request, eos_token_ids, text)
    return reason, short.rstrip() if reason is None else short


CASES = {
    "10.stop_conditions": [
        ("prompt counts", stop_counts_all),
        ("goes on after", stop_greater),
        ("end tokens are not checked", stop_never_eos),
        ('"length" is returned', stop_length_first),
        ("very end of the text", stop_ends_with),
        ("not cut", stop_whole_text),
        ("of the prompt", stop_any_token),
        (None, stop_only_reason),
        ("request is changed", stop_marks),
        ("characters are counted", stop_characters),
        ("only stop strings", stop_strings),
        ("keeps the text from being cut", stop_token_first),
        ("earlier tokens of the output", stop_token_in_output),
        ("capital and small", stop_any_case),
        ("last stop string", stop_at_the_last_of_them),
        ("white space", stop_strips),
        (None, stop_min_find),
        (None, stop_cuts_length),
    ]
}
