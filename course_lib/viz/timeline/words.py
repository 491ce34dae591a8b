"""A step of an engine in words: who came, who made room, who joined, who computed, who is done."""

from course_lib.viz.kit.inputs import count
from course_lib.viz.memory.view import name

NAMED, TOLD = 6, 3  # so many names in a sentence; so many sentences of one sort, others are put together


def words_of(schedule):
    """The sentences for what a Schedule took last, each a list of [kind, text] pieces."""
    happened = {}
    for event, lane, more in schedule.happened:
        happened.setdefault(event, {})[lane] = more
    joined = {lane: more for lane, more in happened.get("join", {}).items() if lane in schedule.batch}
    going = [lane for lane in schedule.batch if lane not in joined]
    found = [*_broken_off(happened), *_came(happened, joined), *_made_room(happened), *_joined(schedule, joined),
             *_came_back(schedule, happened, joined), *_chunks(schedule, going), *_decoded(schedule, going), *_parted(happened),
             *_ended(happened)]  # fmt: skip
    return found or [[["", "Nothing is computed."]]]


def said(lanes):
    """ "R0, R1 and R2" of lanes, or "R0, R1, R2, R3, R4 and 7 more"."""
    names = [name(lane.name) for lane in sorted(lanes, key=lambda lane: lane.number)]
    if len(names) > NAMED:
        names = names[: NAMED - 1] + [f"{len(names) - NAMED + 1:,} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def does(lanes, verb):
    """The verb as it goes with so many: "R0 joins", "R0 and R1 join"."""
    return f"{said(lanes)} {verb}{'s' if len(lanes) == 1 else ''}"


def tokens_of(lane, start, number):
    """ "prompt tokens 8–15 of 20", or "token 20" behind the prompt."""
    last = start + number - 1
    which = f"token {start}" if number == 1 else f"tokens {start}–{last}"
    return f"prompt {which} of {lane.num_prompt}" if last < lane.num_prompt else which


def _broken_off(happened):
    lanes = list(happened.get("break", ()))
    if lanes:
        yield [
            ["strong", "The model did not run to its end"],
            ["", f" with {said(lanes)}: none of these tokens count."],
        ]


def _came(happened, joined):
    here = [lane for lane in happened.get("queue", ()) if lane not in joined]
    if here:
        yield [["strong", does(here, "come")], ["", f" and wait{'s' if len(here) == 1 else ''}."]]


def _made_room(happened):
    preempted, moved = happened.get("preempt", {}), happened.get("swap out", {})
    lost = {lane: tokens for lane, tokens in preempted.items() if lane not in moved}
    kept = {lane: moved[lane] for lane in preempted if lane in moved}
    for lanes, fate in ((lost, "thrown away"), (kept, "copied to CPU memory")):
        if lanes:
            yield [["strong", f"{does(lanes, 'make')} room"], ["", f": {count(sum(lanes.values()), 'token')} {fate}."]]


def _joined(schedule, joined):
    first = [lane for lane, (state, _, _) in joined.items() if state == "waiting"]
    if len(first) <= TOLD:
        for lane in first:
            start, number = schedule.batch[lane]
            hit = f", {start:,} of its tokens found in the cache," if start else ""
            yield [["strong", does([lane], "join")], ["", f"{hit} with {tokens_of(lane, start, number)}."]]
    else:
        hits, number = (sum(schedule.batch[lane][part] for lane in first) for part in (0, 1))
        hit = f"; {hits:,} more are found in the cache" if hits else ""
        yield [["strong", does(first, "join")], ["", f" with {count(number, 'token')}{hit}."]]


def _came_back(schedule, happened, joined):
    back = [lane for lane, (state, _, _) in joined.items() if state != "waiting"]
    for lane in back if len(back) <= TOLD else ():
        yield [
            ["strong", f"{does([lane], 'come')} back"],
            ["", _how(lane, *schedule.batch[lane], happened.get("swap in", {}).get(lane))],
        ]
    if len(back) > TOLD:
        yield [
            ["strong", f"{does(back, 'come')} back"],
            ["", f" with {count(sum(schedule.batch[lane][1] for lane in back), 'token')}."],
        ]


def _how(lane, start, number, copied):
    """How one who had made room goes on. copied: tokens that came from CPU memory, None where nothing was swapped."""
    found = start - (copied or 0)
    ways = [
        f"{count(tokens, 'token')} {how}"
        for tokens, how in ((copied, "copied in from CPU memory"), (found, "found in the cache"))
        if tokens
    ]
    again = min(lane.lost, start + number) - start
    if copied is None and again > 0:
        ways.append(f"{count(again, 'token')} computed again")
    return f": {', '.join(ways)}." if ways else "."


def _chunks(schedule, going):
    chunks = [lane for lane in going if lane.spans[-1][0] != "decode"]
    for lane in chunks[:TOLD]:
        yield [
            [
                "",
                f"{does([lane], 'compute')} {tokens_of(lane, *schedule.batch[lane])}{' again' * (lane.spans[-1][0] == 'again')}.",
            ]
        ]
    if chunks[TOLD:]:
        yield [
            [
                "",
                f"{does(chunks[TOLD:], 'compute')} a piece of {'its' if len(chunks) == TOLD + 1 else 'their'} prompt too.",
            ]
        ]


def _decoded(schedule, going):
    lanes = [lane for lane in going if lane.spans[-1][0] == "decode"]
    if lanes:
        tokens = sum(schedule.batch[lane][1] for lane in lanes)
        what = count(tokens, "token") if tokens > len(lanes) else "one token each" if len(lanes) > 1 else "one token"
        yield [["", f"{does(lanes, 'decode')} {what}."]]


def _parted(happened):
    for lane, parent in list(happened.get("fork", {}).items())[:TOLD]:
        yield [["", f"{said([lane])} parts from {said([parent])}."]]


def _ended(happened):
    ended = happened.get("finish", {})
    for reason in dict.fromkeys(ended.values()):
        lanes = [lane for lane in ended if ended[lane] == reason]
        what = "aborted" if reason == "abort" else "done"
        yield [
            ["strong", f"{said(lanes)} {'is' if len(lanes) == 1 else 'are'} {what}"],
            ["", "." if reason == "abort" else f" ({reason})."],
        ]
