"""A step of an engine in words: which requests arrived, were preempted, admitted, computed and finished."""

from course_lib.viz.kit.format import count, enumerated, request_name

TOLD = 3  # so many sentences of one sort; more are put together


def words_of(schedule):
    """The sentences for what a Schedule took last, each a list of [kind, text] pieces."""
    happened = {}
    for event, lane, more in schedule.happened:
        happened.setdefault(event, {})[lane] = more
    joined = {lane: more for lane, more in happened.get("join", {}).items() if lane in schedule.batch}
    going = [lane for lane in schedule.batch if lane not in joined]
    found = [
        *_undone(happened),
        *_arrived(happened, joined),
        *_preempted(happened),
        *_admitted(schedule, joined),
        *_resumed(schedule, happened, joined),
        *_chunks(schedule, going),
        *_decoded(schedule, going),
        *_checked(schedule),
        *_forked(happened),
        *_finished(happened),
    ]
    return found or [[["", "Nothing is computed."]]]


def limits_broken(schedule):
    """Sentences for the limits that the trace itself names and the step does not keep."""
    if schedule.engine is None:
        return []
    _, max_num_seqs, budget = schedule.engine
    tokens, running, _ = schedule.counts()
    found = []
    if budget is not None and tokens > budget:
        over = f"{count(tokens, 'token')} are {tokens - budget:,} over the token budget of {budget:,}."
        found.append([["strong", over]])
    if max_num_seqs is not None and running > max_num_seqs:
        found.append([["strong", f"{count(running, 'sequence')} run, but max_num_seqs is {max_num_seqs:,}."]])
    return found


def _said(lanes):
    """ "R0, R1 and R2" of lanes, or "R0, R1, R2, R3, R4 and 7 more"."""
    return enumerated([request_name(lane.name) for lane in sorted(lanes, key=lambda lane: lane.number)])


def _does(lanes, verb):
    """The verb as it goes with so many: "R0 arrives", "R0 and R1 arrive"."""
    return f"{_said(lanes)} {verb}{'s' if len(lanes) == 1 else ''}"


def _is(lanes, what):
    return f"{_said(lanes)} {'is' if len(lanes) == 1 else 'are'} {what}"


def _tokens_of(lane, start, number):
    """ "prompt tokens 8–15 of 20", or "token 20" after the prompt."""
    last = start + number - 1
    which = f"token {start}" if number == 1 else f"tokens {start}–{last}"
    return f"prompt {which} of {lane.num_prompt}" if last < lane.num_prompt else which


def _undone(happened):
    lanes = list(happened.get("undo", ()))
    if lanes:
        yield [["strong", "The step was undone"], ["", f" for {_said(lanes)}: none of these tokens count."]]


def _arrived(happened, joined):
    here = [lane for lane in happened.get("queue", ()) if lane not in joined]
    if here:
        yield [["strong", _does(here, "arrive")], ["", f" and wait{'s' if len(here) == 1 else ''}."]]


def _preempted(happened):
    preempted, moved = happened.get("preempt", {}), happened.get("swap out", {})
    lost = {lane: tokens for lane, tokens in preempted.items() if lane not in moved}
    kept = {lane: moved[lane] for lane in preempted if lane in moved}
    for lanes, fate in ((lost, "thrown away"), (kept, "swapped out to CPU memory")):
        if lanes:
            yield [["strong", _is(lanes, "preempted")], ["", f": {count(sum(lanes.values()), 'token')} {fate}."]]


def _admitted(schedule, joined):
    first = [lane for lane, (state, _, _) in joined.items() if state == "waiting"]
    if len(first) <= TOLD:
        for lane in first:
            start, number = schedule.batch[lane]
            hit = f", {start:,} of its tokens found in the cache," if start else ""
            yield [["strong", _is([lane], "admitted")], ["", f"{hit} with {_tokens_of(lane, start, number)}."]]
    else:
        hits, number = (sum(schedule.batch[lane][part] for lane in first) for part in (0, 1))
        hit = f"; {hits:,} more are found in the cache" if hits else ""
        yield [["strong", _is(first, "admitted")], ["", f" with {count(number, 'token')}{hit}."]]


def _resumed(schedule, happened, joined):
    back = [lane for lane, (state, _, _) in joined.items() if state != "waiting"]
    if len(back) > TOLD:
        tokens = count(sum(schedule.batch[lane][1] for lane in back), "token")
        yield [["strong", _does(back, "resume")], ["", f" with {tokens}."]]
        return
    for lane in back:
        how = _how(lane, *schedule.batch[lane], happened.get("swap in", {}).get(lane))
        yield [["strong", _does([lane], "resume")], ["", how]]


def _how(lane, start, number, copied):
    """How a preempted request goes on. copied: tokens swapped in from CPU memory, None where nothing was swapped."""
    found = start - (copied or 0)
    ways = [
        f"{count(tokens, 'token')} {how}"
        for tokens, how in ((copied, "swapped in from CPU memory"), (found, "found in the cache"))
        if tokens
    ]
    again = min(lane.lost, start + number) - start
    if copied is None and again > 0:
        ways.append(f"{count(again, 'token')} recomputed")
    return f": {', '.join(ways)}." if ways else "."


def _chunks(schedule, going):
    chunks = [lane for lane in going if lane.spans[-1][0] not in ("decode", "speculate")]
    for lane in chunks[:TOLD]:
        verb = "recompute" if lane.spans[-1][0] == "recompute" else "compute"
        yield [["", f"{_does([lane], verb)} {_tokens_of(lane, *schedule.batch[lane])}."]]
    if rest := chunks[TOLD:]:
        yield [["", f"{_does(rest, 'compute')} a chunk of {'its prompt' if len(rest) == 1 else 'their prompts'} too."]]


def _decoded(schedule, going):
    lanes = [lane for lane in going if lane.spans[-1][0] == "decode"]
    if lanes:
        tokens = sum(schedule.batch[lane][1] for lane in lanes)
        what = count(tokens, "token") if tokens > len(lanes) else "one token each" if len(lanes) > 1 else "one token"
        yield [["", f"{_does(lanes, 'decode')} {what}."]]


def _checked(schedule):
    if schedule.checked:
        drafted, accepted = map(sum, zip(*schedule.checked.values()))
        right = f"{accepted:,} accepted" if accepted else "none accepted"
        yield [["", f"{_does(list(schedule.checked), 'check')} {count(drafted, 'drafted token')}: {right}."]]


def _forked(happened):
    for lane, parent in list(happened.get("fork", {}).items())[:TOLD]:
        yield [["", f"{_said([lane])} is forked from {_said([parent])}."]]


def _finished(happened):
    ended = happened.get("finish", {})
    for reason in dict.fromkeys(ended.values()):
        lanes = [lane for lane in ended if ended[lane] == reason]
        aborted = reason == "abort"
        yield [["strong", _is(lanes, "aborted" if aborted else "finished")], ["", "." if aborted else f" ({reason})."]]
