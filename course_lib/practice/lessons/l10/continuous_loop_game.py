"""For 10.continuous_loop: a script of requests served by a learner's loop over a paged cache, as a timeline."""

from course_lib.decoding.sampling import SamplingParams
from course_lib.engine.request import Request
from course_lib.errors import CourseError, IntegrityError
from course_lib.practice.fixtures.tiny_server import SummingModel, paged_cache
from course_lib.practice.judge.scripts import Script
from course_lib.practice.report.timeline_text import Timeline


def serve_loop(
    loop, arrivals, *, max_num_seqs=4, num_blocks=16, block_size=4, eos=None, ignore_eos=False, show="tokens"
):
    """The Timeline of a loop on a script: the token that each request got in each step. The model is a SummingModel.

    eos: the end token of the model, or None. ignore_eos: of the parameters of all requests. show: "tokens"; "calls"
    also shows how often the model is called in each step; "free" also shows how many blocks are free after each, and
    what `has_unfinished` returns at the end.
    """
    arrivals = list(arrivals)
    script = Script(tuple(arrivals))
    model = SummingModel(() if eos is None else (eos,), most_calls=20 * script.most_steps)
    cache = paged_cache(model, num_blocks, block_size)
    made, line = (
        loop(model, cache, max_num_seqs),
        Timeline(
            numbers={"P": "computes its prompt and writes token {n}", "D": "writes token {n}"},
            signs={".": 'says "stop"'},
        ),
    )
    state, left, new, requests = {}, {}, list(enumerate(arrivals)), {}
    for now in range(script.most_steps):
        for number, arrival in [one for one in new if one[1].step <= now]:
            new.remove((number, arrival))
            request = Request(
                arrival.name,
                prompt_of(number, arrival.prompt),
                SamplingParams(max_tokens=arrival.max_tokens, ignore_eos=ignore_eos),
                arrival=float(now),
            )
            made.add_request(request)
            requests[arrival.name] = request
            state[arrival.name] = "W"
        for arrival in arrivals:
            if arrival.abort == now and state.get(arrival.name, "F")[0] not in "FA":
                made.abort(arrival.name)
                state[arrival.name], left[arrival.name] = "A", f"was aborted before step {now}"
        cells = dict(state)
        state = {name: letter for name, letter in state.items() if letter not in "FA"}
        calls, unfinished = model.calls, bool(made.has_unfinished())
        if unfinished:
            tokens = {name: requests[name].num_tokens for name in state}
            outputs = outputs_of(made.step(), state, left)
            for name in state.keys() - {name for name, _, _ in outputs}:
                if requests[name].num_tokens > tokens[name]:
                    cells[name] = f"?{requests[name].token_ids[-1]}"
                    line.numbers["?"] = "gets token {n}, which step() does not return"
            for name, token, reason in outputs:
                cells[name] = ("P" if state[name] == "W" else "D") + str(token)
                state[name] = "F" if reason else "-"
                if reason:
                    left[name] = f"finished in step {now}"
                if reason == "stop":
                    cells[name] += "."
        below = {"calls": model.calls - calls} if show == "calls" and unfinished and any(state.values()) else {}
        line.column(cells, {"free blocks": cache.allocator.num_free} if show == "free" else below)
        if not new and not (state and unfinished):
            break
    if show == "free":
        line.column({}, {"has_unfinished": bool(made.has_unfinished())})
    return line


def outputs_of(outputs, state, left):
    """What `step()` returned, checked.

    state: {name: letter} of the requests that are served. left: {name: words} of those that are no longer. Raises
    IntegrityError where the outputs are no list of triples, CourseError where one is of a request that is not served.
    """
    if not isinstance(outputs, (list, tuple)) or not all(
        isinstance(one, (list, tuple)) and len(one) == 3 for one in outputs
    ):
        raise IntegrityError(
            f"step() returned {str(outputs)[:60]}; it must return a list of "
            "(request_id, token id, finish_reason or None)."
        )
    for name, token, reason in outputs:
        if type(token) is not int or token < 0 or reason not in (None, "stop", "length"):
            raise IntegrityError(
                f"step() returned ({name!r}, {token!r}, {reason!r}); the token id is an int, 0 or more, and the reason "
                'is "stop", "length" or None.'
            )
        if name in left:
            raise CourseError(f"step() returned token {token} for {name!r}, which {left[name]}.")
        if name not in state:
            raise CourseError(f"step() returned token {token} for {name!r}, and there is no request of that name.")
    return outputs


def prompt_of(number, length):
    """The prompt of the script's request of this number."""
    return [(3 + 5 * number + 7 * at) % 31 for at in range(length)]
