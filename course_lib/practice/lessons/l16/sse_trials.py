"""The Trials of 16.sse: what is written, and chunks that are cut anywhere."""

from course_lib.practice.judge.exercise import Trial


def wrote(text, note=""):
    """The Trial of one event that is written."""
    story = ["events = ServerSentEvents()", f"events.write({text!r})"]
    return Trial(story, lambda answer: answer().write(text), note=note, size=len(text))


def reads(*chunks, note=""):
    """The Trial of chunks that come one after the other: the events of each, and is_done afterwards."""

    def act(answer):
        events = answer()
        found = [events.read(chunk) for chunk in chunks]
        return [list(one) if isinstance(one, tuple) else one for one in found], events.is_done

    listed = ", ".join(map(repr, chunks))
    story = ["events = ServerSentEvents()", f"[events.read(chunk) for chunk in [{listed}]], events.is_done"]
    return Trial(story, act, note=note, size=sum(map(len, chunks)) + 4 * len(chunks))


def cut(data, *places):
    """The Trial of these bytes, cut at these places; without places, one byte at a time."""
    places = places or range(1, len(data))
    edges = [0, *places, len(data)]
    return reads(*(data[a:b] for a, b in zip(edges, edges[1:])))


def two_connections(*turns):
    """The Trial of two connections that are read in turn. turns: (which of the two, bytes)."""

    def act(answer):
        both = answer(), answer()
        return [both[which].read(chunk) for which, chunk in turns], both[0].is_done, both[1].is_done

    story = [
        "both = ServerSentEvents(), ServerSentEvents()",
        f"[both[which].read(chunk) for which, chunk in {list(turns)}], both[0].is_done, both[1].is_done",
    ]
    return Trial(story, act, size=sum(len(chunk) for _, chunk in turns))


def round_trip(text, step):
    """The Trial of what is written and then read in pieces of `step` bytes."""

    def act(answer):
        data = answer().write(text)
        events = answer()
        return sum([list(events.read(data[at : at + step])) for at in range(0, len(data), step)], [])

    story = [
        f"data, events = ServerSentEvents().write({text!r}), ServerSentEvents()",
        f"sum([events.read(data[at : at + {step}]) for at in range(0, len(data), {step})], [])",
    ]
    return Trial(story, act, size=100 + len(text))


def many_events(number):
    """The Trial of one chunk with so many events: how many are found."""
    story = ["events = ServerSentEvents()", f'len(events.read(b"data: a\\n\\n" * {number}))']
    return Trial(
        story,
        lambda answer: len(answer().read(b"data: a\n\n" * number)),
        note="one chunk may bring many events",
        size=number,
    )
