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
    together=False,
    num_seqs=lambda joined, running: joined + running,
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
    """A wrong answer: the right one with one part replaced. together: running requests are rounded up as one sum."""

    def answer(waiting, running, num_blocks, block_size, max_num_seqs):
        def reserved(r):
            return blocks(most(r))

        def blocks(tokens):
            return tokens if in_tokens else -(-tokens // block_size) if up else tokens // block_size

        held = sum(blocks((holds or most)(r)) for r in running) if counts_running else 0
        if together:
            held = blocks(sum(map(most, running)))
        left = num_blocks * (block_size if in_tokens else 1) - spare - held
        joined = []
        for r in order(waiting):
            fits = (
                (not memory or reserved(r) <= left)
                and num_seqs(len(joined), len(running)) < max_num_seqs
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
        "new requests wait until the whole batch is done.",
        "This is static batching: new requests wait although fewer than `max_num_seqs` run. Admit requests in "
        "every step.",
        wrong(joins=lambda running: not running),
    ),
    Mistake(
        "running requests pause while a prompt is computed.",
        "A prompt and single tokens fit in one flat batch, so no request has to pause.",
        wrong(pauses=True),
    ),
    Mistake(
        "a prompt is computed token by token.",
        "All tokens of a prompt are known: they are computed in one step.",
        wrong(n=lambda r: 1),
    ),
    Mistake(
        "the whole sequence is computed again in each step.",
        "The tokens in the cache are computed already: only the rest is to be computed.",
        wrong(n=lambda r: r.num_tokens),
    ),
    Mistake(
        "the running requests are left out.",
        "They compute in this step too: name them first, then the admitted requests.",
        wrong(runs_on=False),
    ),
    Mistake(
        "no waiting request is admitted.",
        "Go through `waiting` too: a request that `max_num_seqs` and memory allow computes its prompt in this step.",
        wrong(at_most=0),
    ),
    Mistake(
        "one request fewer than `max_num_seqs` runs.",
        "With max_num_seqs=2 two requests run. Stop when `max_num_seqs` run, not before.",
        wrong(num_seqs=lambda joined, running: joined + running + 1),
    ),
    Mistake(
        "only one request is admitted in a step.", "Go on as long as `max_num_seqs` and memory allow.", wrong(at_most=1)
    ),
    Mistake(
        "running requests do not count towards `max_num_seqs`.",
        "`max_num_seqs` limits all requests that run in a step.",
        wrong(num_seqs=lambda joined, running: joined),
    ),
    Mistake(
        "requests admitted in this step do not count towards `max_num_seqs`.",
        "They run in this step as well: count those in `running` and those admitted before.",
        wrong(num_seqs=lambda joined, running: running),
    ),
    Mistake(
        "one request more than `max_num_seqs` runs.",
        "With max_num_seqs=1 one request runs. Stop before the next one is admitted.",
        wrong(num_seqs=lambda joined, running: joined + running - 1),
    ),
    Mistake(
        "memory is not checked.",
        "Each token needs a slot. Count the blocks before a request is admitted.",
        wrong(memory=False),
    ),
    Mistake(
        "no blocks are reserved for the answer.",
        "The tokens of the answer need slots too. If these are given to others, running requests cannot go on.",
        (wrong(most=lambda r: r.num_prompt_tokens), wrong(most=lambda r: r.num_tokens)),
    ),
    Mistake(
        "blocks reserved for running requests are given away.",
        "Running requests have not taken all of their blocks yet, but they will need them. Subtract what is "
        "reserved for them too.",
        (
            wrong(counts_running=False),
            wrong(holds=lambda r: r.num_computed_tokens),
            wrong(holds=lambda r: r.num_tokens),
        ),
    ),
    Mistake(
        "requests admitted in this step take no blocks.",
        "Fewer blocks are left for the next request: subtract what is reserved for each admitted one.",
        wrong(takes=False),
    ),
    Mistake("a block that is not full is not counted.", "5 tokens need two blocks of 4: round up.", wrong(up=False)),
    Mistake(
        "no blocks are reserved for the prompt.",
        "Its keys and values are in the cache too.",
        wrong(most=lambda r: r.params.max_tokens - 1),
    ),
    Mistake(
        "output tokens are counted twice.",
        "`num_tokens` includes them, and `max_tokens` too. Begin with `num_prompt_tokens`.",
        wrong(most=lambda r: r.num_tokens + r.params.max_tokens - 1),
    ),
    Mistake(
        "tokens are counted, not blocks.",
        "Two requests never share a block that is not full: round up to blocks for each request.",
        wrong(in_tokens=True),
    ),
    Mistake(
        "one slot too many is reserved.",
        "The last token is returned and never computed: prompt + max_tokens - 1. And tokens that fill their blocks "
        "exactly need no further block: -(-tokens // block_size).",
        wrong(most=lambda r: r.num_prompt_tokens + r.params.max_tokens),
    ),
    Mistake(
        "the tokens of several requests are rounded up as one sum.",
        "A block holds tokens of one request only: round up for each request, then add.",
        wrong(together=True),
    ),
    Mistake(
        "one block too many stays free.",
        "All blocks may be reserved: stop only where a request needs more than are left.",
        wrong(spare=1),
    ),
    Mistake(
        "smaller requests overtake one that does not fit.",
        "Where the first waiting request does not fit, stop. Otherwise it may wait for ever.",
        wrong(overtakes=True),
    ),
    Mistake(
        "the newest request goes first.",
        "Requests are served in the order of arrival.",
        wrong(order=lambda waiting: waiting[::-1]),
    ),
    Mistake(
        "the shortest request goes first.",
        "Requests are served in the order of arrival. A long one might wait for ever.",
        (
            wrong(order=lambda waiting: sorted(waiting, key=lambda r: r.num_prompt_tokens)),
            wrong(order=lambda waiting: sorted(waiting, key=lambda r: r.params.max_tokens)),
            wrong(order=lambda waiting: sorted(waiting, key=lambda r: r.num_prompt_tokens + r.params.max_tokens)),
        ),
    ),
]
