"""The mistakes in 16.stop_and_stream."""

from course_lib.practice.judge.exercise import Mistake

from .stop_and_stream_answers import (
    all_so_far,
    begins_again,
    begun,
    decoded,
    drops_before,
    ends_first,
    ends_of_the_piece_of_all,
    ends_only,
    exact,
    finish_all,
    first_of_list,
    goes_on_with,
    held_as_a_whole,
    in_any_case,
    in_the_piece,
    keeps_held,
    last_found,
    last_place,
    lax,
    loses_held,
    not_there_is_a_place,
    not_told,
    once_ascii,
    once_whole,
    sends_twice,
    silent_last,
    silent_once_over,
    stops_at_the_end,
    takes_it_back,
    with_parts,
    with_raw,
    with_stop,
)

MISTAKES = [
    Mistake(
        "each piece is decoded by itself, and a character may be cut in it.",
        'Its bytes come in two pieces. `codecs.getincrementaldecoder("utf-8")` makes an object that keeps them.',
        (decoded("strict"), decoded("replace"), decoded("ignore")),
    ),
    Mistake(
        "bytes that are no character are dropped, or raise.",
        'Give the decoder `errors="replace"`: they become U+FFFD.',
        (
            with_parts(text_of=lambda self, data: self.__dict__.setdefault("lax", lax()).decode(data)),
            with_parts(text_of=lambda self, data: self.__dict__.setdefault("exact", exact()).decode(data)),
        ),
    ),
    Mistake(
        "text waits that stands before a character that is not whole, or before bytes that are none.",
        "Only those bytes wait. An incremental decoder keeps them, and returns the text before them.",
        (with_parts(text_of=once_whole, last=with_raw), with_parts(text_of=once_ascii, last=with_raw)),
    ),
    Mistake(
        "nothing is held back for a stop string.",
        "Its beginning is sent, and cannot be taken back when the rest comes.",
        with_parts(num_held=lambda self, text: 0),
    ),
    Mistake(
        "too much is held back: always as much as a stop string has.",
        "Hold back what may begin a stop string, and send the rest: a stream should not lag behind.",
        (
            with_parts(num_held=lambda self, text: max((len(stop) - 1 for stop in self.stop), default=0)),
            with_parts(num_held=lambda self, text: max(map(len, self.stop), default=0)),
        ),
    ),
    Mistake(
        "only one character is held back.",
        "The beginning of a stop string may be longer.",
        with_parts(num_held=lambda self, text: int(any(text[-1:] == stop[0] for stop in self.stop))),
    ),
    Mistake(
        "text is held back that begins no stop string.",
        "The end of the text has to be the beginning of the stop string, not any part of it.",
        (
            with_parts(num_held=lambda self, text: int(any(text[-1:] and text[-1] in stop for stop in self.stop))),
            with_parts(
                num_held=lambda self, text: max(
                    [n for n in range(1, len(text) + 1) for stop in self.stop if text[-n:] in stop], default=0
                )
            ),
        ),
    ),
    Mistake(
        "only the first stop string is held back for.",
        "Any of them may be begun.",
        with_parts(num_held=lambda self, text: max(begun(text, self.stop[:1]), default=0)),
    ),
    Mistake(
        "the shortest possible beginning is held back, not the longest.",
        "In front of it stands what belongs to a longer one.",
        (
            with_parts(num_held=lambda self, text: min(begun(text, self.stop), default=0)),
            with_parts(num_held=lambda self, text: next((n for one in self.stop for n in begun(text, (one,))), 0)),
        ),
    ),
    Mistake(
        "text is held back only where all of it is the beginning of a stop string.",
        "Its end counts: `a E` ends with the beginning of `END`.",
        with_parts(num_held=held_as_a_whole),
    ),
    Mistake(
        "what may begin a stop string is looked for in the new piece alone.",
        "A piece may go on with what was held back: look at the end of both together.",
        (with_parts(looked_at=lambda self, text, new: new), with_parts(push=ends_of_the_piece_of_all)),
    ),
    Mistake(
        "stop strings are looked for in the new piece alone.",
        "A stop string may be cut over two pieces: look in what was held and what is new together.",
        with_parts(end=in_the_piece),
    ),
    Mistake(
        "a stop string is seen only at the end of the text.", "A piece may go on after it.", with_parts(end=ends_only)
    ),
    Mistake(
        "of several stop strings not the one that begins earliest is taken.",
        "Take the smallest of the places where they begin, whatever their order in the tuple.",
        (
            with_parts(end=first_of_list),
            with_parts(end=last_found),
            with_parts(end=last_place),
            with_parts(end=ends_first),
            with_parts(end=lambda self, text, new: min((text.rfind(s) for s in self.stop if s in text), default=None)),
        ),
    ),
    Mistake(
        "`find` gives -1 for a stop string that is not there, and it is taken for a place.",
        "Look only at those that are in the text.",
        with_parts(end=not_there_is_a_place),
    ),
    Mistake(
        "the stop string itself is sent.",
        "The answer ends where the stop string begins.",
        with_parts(stopped=with_stop),
    ),
    Mistake(
        "what stands before the stop string is not sent.",
        "It belongs to the answer, and so does what was held back before it.",
        with_parts(stopped=drops_before),
    ),
    Mistake(
        "text after the stop string is sent.",
        "Once a stop string was found, `push` returns an empty text, whatever comes.",
        (
            with_parts(after=lambda self, data: self.text_of(data)),
            with_parts(after=begins_again),
            with_parts(stopped=lambda self, text, end: goes_on_with(self, text, end)),
        ),
    ),
    Mistake(
        "`is_stopped` is not set.",
        "The server asks it, to end the request.",
        with_parts(stopped=not_told, push=silent_once_over, last=lambda self: silent_last(self)),
    ),
    Mistake(
        "`is_stopped` is set by `finish`.",
        "It says whether a stop string was found. An answer that simply ends has found none.",
        with_parts(last=stops_at_the_end),
    ),
    Mistake(
        "`is_stopped` is taken back by `finish`.",
        "It says whether a stop string was found, also after `finish`.",
        with_parts(finish=takes_it_back),
    ),
    Mistake(
        "capital letters are taken for small ones.",
        '"END" is not in "the End": compare the text as it is.',
        with_parts(end=in_any_case),
    ),
    Mistake(
        "`finish` does not return the text that was held back.",
        "No token follows, so the beginning of a stop string is text.",
        (with_parts(last=lambda self: ""), with_parts(last=lambda self: self.decoder.decode(b"", final=True))),
    ),
    Mistake(
        "`finish` leaves out a character that is not whole.",
        'It becomes U+FFFD: `decoder.decode(b"", final=True)`.',
        with_parts(last=lambda self: self.held),
    ),
    Mistake(
        "`finish` returns something after a stop string.",
        "The answer has ended where the stop string begins.",
        (
            with_parts(stopped=keeps_held, finish=finish_all),
            with_parts(after=lambda self, data: self.text_of(data) and "", finish=finish_all),
        ),
    ),
    Mistake(
        "`push` returns all text so far.", "Return what is new: the client has the rest.", with_parts(push=all_so_far)
    ),
    Mistake(
        "what is held back is sent as well, and then again.",
        "Cut it off the text that is returned.",
        with_parts(push=sends_twice),
    ),
    Mistake(
        "what was held back gets lost when it turns out to be no stop string.",
        "Put it before the new text.",
        with_parts(push=loses_held),
    ),
]
