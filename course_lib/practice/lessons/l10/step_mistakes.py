"""The mistakes in 10.step. Each is the right answer with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


def wrong(
    *,
    most=lambda r: r.num_prompt_tokens + r.params.max_tokens - 1,
    counts_running=True,
    holds=None,
    takes=True,
    up=True,
    in_tokens=False,
    seats=lambda joined, running: joined + running,
    memory=True,
    overtakes=False,
    at_most=1000,
    joins=lambda running: True,
    n=lambda r: r.num_tokens - r.num_computed_tokens,
    pauses=False,
    order=lambda waiting: waiting,
    spare=0,
    runs_on=True,
):
    """A wrong answer: the right one with one of its parts replaced."""

    def answer(waiting, running, num_blocks, block_size, max_num_seqs):
        def reserved(r):
            return blocks(most(r))

        def blocks(tokens):
            return tokens if in_tokens else -(-tokens // block_size) if up else tokens // block_size

        held = sum(blocks((holds or most)(r)) for r in running) if counts_running else 0
        left = num_blocks * (block_size if in_tokens else 1) - spare - held
        joined = []
        for r in order(waiting):
            fits = (
                (not memory or reserved(r) <= left)
                and seats(len(joined), len(running)) < max_num_seqs
                and len(joined) < at_most
            )
            if fits and joins(running):
                left -= reserved(r) if takes else 0
                joined.append(r)
            elif not overtakes:
                break
        return [(r, n(r)) for r in ([] if pauses and joined or not runs_on else running)] + [(r, n(r)) for r in joined]

    return answer


MISTAKES = [
    Mistake(
        "it waits until the whole batch is done.",
        "That is static batching: new requests stand outside while seats are empty. Admit in every step.",
        wrong(joins=lambda running: not running),
    ),
    Mistake(
        "those who run stand still while a prompt is computed.",
        "A prompt and single tokens fit in one flat batch; nobody has to pause for the others.",
        wrong(pauses=True),
    ),
    Mistake(
        "a prompt is computed token by token.",
        "Its tokens are all known: they are computed in one step.",
        wrong(n=lambda r: 1),
    ),
    Mistake(
        "the whole text is computed again in each step.",
        "What is in the cache is computed: only the rest is left.",
        wrong(n=lambda r: r.num_tokens),
    ),
    Mistake(
        "those who run are left out.",
        "They compute in this step, too: name them first, then those who join.",
        wrong(runs_on=False),
    ),
    Mistake(
        "nobody joins.",
        "Go through `waiting` as well: who finds a seat and room computes its prompt in this step.",
        wrong(at_most=0),
    ),
    Mistake(
        "one seat stays empty.",
        "With max_num_seqs=2 two run. Stop when the seats are taken, not before.",
        wrong(seats=lambda joined, running: joined + running + 1),
    ),
    Mistake("only one request joins in a step.", "Go on as long as seats and memory last.", wrong(at_most=1)),
    Mistake(
        "seats of running requests are not counted.",
        "`max_num_seqs` is about all that run in a step.",
        wrong(seats=lambda joined, running: joined),
    ),
    Mistake(
        "one request too many runs.",
        "With max_num_seqs=1 one runs. Stop before the next is taken.",
        wrong(seats=lambda joined, running: joined + running - 1),
    ),
    Mistake(
        "memory is not looked at.",
        "Each token needs a slot. Count the blocks before somebody joins.",
        wrong(memory=False),
    ),
    Mistake(
        "no room is kept for the answer.",
        "What is there now is not all: the answer needs slots as well. If they are taken when it comes to them, running requests stand still.",
        (wrong(most=lambda r: r.num_prompt_tokens), wrong(most=lambda r: r.num_tokens)),
    ),
    Mistake(
        "what running requests were promised is given away.",
        "They have not taken all of their blocks yet, but they will. Take off what is reserved for them, too.",
        (
            wrong(counts_running=False),
            wrong(holds=lambda r: r.num_computed_tokens),
            wrong(holds=lambda r: r.num_tokens),
        ),
    ),
    Mistake(
        "who joins in this step takes no blocks.",
        "The next one finds less: take off what is reserved for each that joins.",
        wrong(takes=False),
    ),
    Mistake("the rest of a block is not counted.", "5 tokens need two blocks of 4: round up.", wrong(up=False)),
    Mistake(
        "the prompt needs no room.",
        "Its keys and values are in the cache as well.",
        wrong(most=lambda r: r.params.max_tokens - 1),
    ),
    Mistake(
        "what is written counts twice.",
        "`num_tokens` has the written ones in it, and `max_tokens` as well. Begin with `num_prompt_tokens`.",
        wrong(most=lambda r: r.num_tokens + r.params.max_tokens - 1),
    ),
    Mistake(
        "tokens are counted, not blocks.",
        "Two requests never share the rest of a block: round up to blocks for each of them.",
        wrong(in_tokens=True),
    ),
    Mistake(
        "one slot too many is reserved.",
        "The last token is handed out and never computed: prompt + max_tokens - 1.",
        wrong(most=lambda r: r.num_prompt_tokens + r.params.max_tokens),
    ),
    Mistake(
        "one block too many stays free.",
        "What is reserved may be as much as there is: stop where it is more.",
        wrong(spare=1),
    ),
    Mistake(
        "smaller requests overtake one that does not fit.",
        "Where the first does not fit, stop. Otherwise it may wait for ever behind others.",
        wrong(overtakes=True),
    ),
    Mistake(
        "the newest request goes first.", "Who came first is served first.", wrong(order=lambda waiting: waiting[::-1])
    ),
    Mistake(
        "the shortest prompt goes first.",
        "Who came first is served first. A long prompt might wait for ever.",
        wrong(order=lambda waiting: sorted(waiting, key=lambda r: r.num_prompt_tokens)),
    ),
]
