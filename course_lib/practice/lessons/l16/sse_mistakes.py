"""The mistakes in 16.sse."""

import json

from course_lib.practice.judge.exercise import Mistake

from .sse_answers import (
    all_lines_of_chunk,
    any_field,
    any_line,
    at_all_separators,
    at_once,
    begins_with_data,
    crlf_of_chunk,
    decoded,
    does_not_know_done,
    done_anywhere,
    done_at_the_line,
    done_with_spaces,
    empty_events,
    events_of_chunk,
    finds_data,
    forgets_at_a_comment,
    goes_on,
    into_one_list,
    keeps_data,
    leaves_the_chunk,
    lines_of_chunk,
    needs_the_space,
    never_done,
    no_empty_text,
    returns_done,
    takes_letters_off,
    takes_six,
    to_second_colon,
    with_parts,
    writes,
)

MISTAKES = [
    Mistake(
        "each chunk is read by itself: what it leaves unfinished is lost.",
        "A chunk may end within a line. Keep the bytes after its last `\\n`, and put them before the next chunk.",
        (with_parts(lines=lines_of_chunk), with_parts(lines=all_lines_of_chunk), with_parts(read=events_of_chunk)),
    ),
    Mistake(
        "each chunk is decoded by itself, and a character may be cut in it.",
        "Cut the bytes at `\\n` first: a whole line holds whole characters. Or use an incremental decoder.",
        (decoded("strict"), decoded("replace"), decoded("ignore")),
    ),
    Mistake(
        "text is cut at other places than `\\n`.",
        "`str.splitlines` cuts at U+2028, U+0085 and others, too. Use `split`.",
        (
            with_parts(lines=at_all_separators),
            writes(lambda text: "".join(f"data: {line}\n" for line in text.splitlines() or [""]).encode() + b"\n"),
            writes(lambda text: "".join(f"data: {line}\n" for line in text.splitlines()).encode() + b"\n"),
        ),
    ),
    Mistake(
        "all spaces around the value are taken off.",
        '`removeprefix(" ")` takes one. Most tokens begin with a space, and the text would lose it.',
        (
            with_parts(value=lambda self, text: text.strip()),
            with_parts(value=lambda self, text: text.lstrip()),
            with_parts(line=lambda self, text: text.strip()),
            with_parts(line=lambda self, text: text.rstrip()),
        ),
    ),
    Mistake(
        "the space after the colon is kept.",
        "One space after the colon belongs to the format.",
        with_parts(value=lambda self, text: text),
    ),
    Mistake(
        "a line `data:` without a space after the colon is not read, or loses its first character.",
        'The space may be missing. `removeprefix(" ")` takes it off only if it is there.',
        (with_parts(take=needs_the_space), with_parts(take=takes_six)),
    ),
    Mistake(
        "the value is cut at its own colon.",
        'JSON is full of colons. `line.partition(":")` cuts at the first one only.',
        with_parts(take=to_second_colon),
    ),
    Mistake(
        "several `data` lines are not joined by `\\n`.",
        "Each line of a text is written as a `data` line of its own, so `\\n` stood between them.",
        (
            with_parts(joined=lambda self, data: "".join(data)),
            with_parts(joined=lambda self, data: " ".join(data)),
            with_parts(joined=lambda self, data: data[-1]),
            with_parts(joined=lambda self, data: data[0]),
        ),
    ),
    Mistake(
        "each `data` line is returned at once, as an event of its own.",
        "The event ends at the empty line. Until then another `data` line may come.",
        with_parts(take=at_once),
    ),
    Mistake(
        "other lines than `data:` are taken for data.",
        "What stands before the first colon is the field, and only the field `data` counts. A comment has an empty "
        "one.",
        (
            with_parts(take=finds_data),
            with_parts(take=begins_with_data),
            with_parts(take=any_field),
            with_parts(take=any_line),
        ),
    ),
    Mistake(
        "the `\\r` before a `\\n` stays.",
        "A line may end with `\\r\\n`. Take one `\\r` off its end.",
        with_parts(line=lambda self, text: text),
    ),
    Mistake(
        "`\\r\\n` is looked for in each chunk by itself.",
        "A chunk may end between the two. Cut whole lines at `\\n` first, and then take the `\\r` off the end of each.",
        with_parts(lines=crlf_of_chunk),
    ),
    Mistake(
        "`lstrip` takes off letters of the text too.",
        "It takes off each `d`, `a`, `t`, colon and space at the beginning. Use `removeprefix`: it takes off the word.",
        with_parts(take=takes_letters_off),
    ),
    Mistake(
        "a comment ends the event.",
        "It is ignored wherever it comes: the `data` lines before it belong to the event.",
        with_parts(take=forgets_at_a_comment),
    ),
    Mistake(
        "the list that `read` returned changes in the next call.",
        "It belongs to the caller. Make a new list in each call.",
        with_parts(read=into_one_list),
    ),
    Mistake(
        "the data of an event is still there in the next one.",
        "After the empty line the next event begins with nothing.",
        with_parts(end=keeps_data),
    ),
    Mistake(
        "an empty line without data is returned as an event.",
        "A comment is followed by an empty line, too. Without a `data` line there is no event.",
        with_parts(end=empty_events),
    ),
    Mistake(
        "an event with an empty text is dropped.",
        '`data:` with nothing behind it is a data line, so there is an event: its text is "".',
        with_parts(end=no_empty_text),
    ),
    Mistake(
        "`[DONE]` is returned like a text.",
        "It only says that the stream is over.",
        (with_parts(event=returns_done), with_parts(event=does_not_know_done)),
    ),
    Mistake(
        "events after `[DONE]` are returned.",
        "The stream is over: everything after `[DONE]` is dropped.",
        (with_parts(event=goes_on), with_parts(read=leaves_the_chunk)),
    ),
    Mistake(
        "the line `data: [DONE]` counts before its event has ended.",
        "Another `data` line may follow. Compare the text of the whole event, at the empty line.",
        with_parts(take=done_at_the_line),
    ),
    Mistake("`is_done` is never set.", "The caller asks it whether the answer is whole.", with_parts(event=never_done)),
    Mistake(
        "a text that holds `[DONE]` is taken for the end.",
        "A model may write that. The whole text of the event is `[DONE]`, nothing more.",
        (with_parts(event=done_anywhere), with_parts(event=done_with_spaces)),
    ),
    Mistake(
        "`write` makes one `data` line of the whole text.",
        "A `\\n` ends the line, and the reader does not know what the next line is. Put `data: ` before each line.",
        writes(lambda text: f"data: {text}\n\n".encode()),
    ),
    Mistake(
        "`write` does not end the event with an empty line.",
        "Two `\\n` in a row: the first one ends the line, the second one is the empty line.",
        (
            writes(lambda text: "".join(f"data: {line}\n" for line in text.split("\n")).encode()),
            writes(lambda text: "\n".join(f"data: {line}" for line in text.split("\n")).encode()),
        ),
    ),
    Mistake(
        "`write` returns a str.",
        "Bytes go over the wire: `.encode()`.",
        writes(lambda text: "".join(f"data: {line}\n" for line in text.split("\n")) + "\n"),
    ),
    Mistake(
        "`write` changes the text.",
        "The text is written as it is, also where it is JSON already.",
        (
            writes(lambda text: f"data: {json.dumps(text)}\n\n".encode()),
            writes(lambda text: f"data: {json.dumps(text, ensure_ascii=False)}\n\n".encode()),
            writes(lambda text: "".join(f"data: {line.strip()}\n" for line in text.split("\n")).encode() + b"\n"),
        ),
    ),
    Mistake(
        "`write` loses an empty line of the text.",
        "An empty line is a line: it becomes `data: ` and `\\n`, at the end of the text too.",
        (
            writes(lambda text: "".join(f"data: {x}\n" for x in text.rstrip("\n").split("\n")).encode() + b"\n"),
            writes(lambda text: "".join(f"data: {x}\n" for x in text.strip("\n").split("\n")).encode() + b"\n"),
            writes(lambda text: "".join(f"data: {x}\n" for x in text.split("\n") if x).encode() + b"\n"),
        ),
    ),
    Mistake(
        "`write` does not give UTF-8.",
        "`.encode()` gives UTF-8, which holds every character.",
        (
            writes(lambda text: "".join(f"data: {x}\n" for x in text.split("\n")).encode("ascii", "replace") + b"\n"),
            writes(lambda text: "".join(f"data: {x}\n" for x in text.split("\n")).encode("ascii") + b"\n"),
            writes(lambda text: "".join(f"data: {x}\n" for x in text.split("\n")).encode("latin-1") + b"\n"),
        ),
    ),
    Mistake(
        "`write` makes lines of another form.",
        "Each line is `data: `, the text and `\\n`.",
        (
            writes(lambda text: "".join(f"data:{line}\n" for line in text.split("\n")).encode() + b"\n"),
            writes(lambda text: "".join(f"data: {line}\r\n" for line in text.split("\n")).encode() + b"\r\n"),
            writes(lambda text: "".join(f"{line}\n" for line in text.split("\n")).encode() + b"\n"),
        ),
    ),
]
