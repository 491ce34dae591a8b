"""The mistakes in 17.all_reduce. Each is the right answer with one part replaced."""

import torch

from course_lib.practice.judge.exercise import Mistake


def split(tensor, n):
    return list(tensor.clone().tensor_split(n))


def wrong(
    *,
    cut=split,
    first=lambda r, s: r - s,
    takes=lambda r, s: r - s - 1,
    combine=lambda own, part: own + part,
    reduce_steps=lambda n: n - 1,
    second=lambda r, s: r + 1 - s,
    puts=lambda r, s: r - s,
    gather=lambda own, part: part,
    gather_steps=lambda n: n - 1,
    sender=lambda r, n: r,
    done=lambda pieces, r, n: torch.cat(pieces[r]),
):
    """A wrong answer: the right one with one part replaced."""

    def answer(tensors, ring):
        n = len(tensors)
        pieces = [cut(tensor, n) for tensor in tensors]
        for s in range(reduce_steps(n)):
            received = ring.exchange([pieces[r][first(r, s) % n] for r in range(n)])
            for r in range(n):
                at = takes(r, s) % n
                pieces[r][at] = combine(pieces[r][at], received[sender(r, n)])
        for s in range(gather_steps(n)):
            received = ring.exchange([pieces[r][second(r, s) % n] for r in range(n)])
            for r in range(n):
                at = puts(r, s) % n
                pieces[r][at] = gather(pieces[r][at], received[sender(r, n)])
        return [done(pieces, r, n) for r in range(n)]

    return answer


def whole_tensors(tensors, ring):
    """Each sends whole tensors on, and adds what comes."""
    n, moving, own = len(tensors), list(tensors), [tensor.clone() for tensor in tensors]
    for _ in range(n - 1):
        moving = ring.exchange(moving)
        own = [mine + part for mine, part in zip(own, moving)]
    return own


def through_rank_0(tensors, ring):
    """A chain to the last rank, and round again; the others send nothing meanwhile."""
    n, nothing = len(tensors), tensors[0][:0]
    own = [tensor.clone() for tensor in tensors]
    for s in range(n - 1):
        received = ring.exchange([own[r] if r == s else nothing for r in range(n)])
        own[s + 1] = own[s + 1] + received[s + 1]
    for s in range(n - 1):
        at = (n - 1 + s) % n
        received = ring.exchange([own[r] if r == at else nothing for r in range(n)])
        own[(at + 1) % n] = received[(at + 1) % n]
    return own


def without_sending(tensors, ring):
    return [sum(tensors[1:], tensors[0].clone()) for _ in tensors]


def sent_for_show(tensors, ring):
    """Sums the list, and sends pieces of the right size."""
    n = len(tensors)
    for s in range(2 * (n - 1)):
        ring.exchange([tensors[r].tensor_split(n)[(r - s + s // (n - 1)) % n] for r in range(n)])
    return [torch.stack(tensors).sum(0).to(tensors[0].dtype) for _ in tensors]


def neighbours_pieces(tensors, ring):
    """Calls exchange, but adds the neighbour's piece from the list."""
    n = len(tensors)
    pieces = [split(tensor, n) for tensor in tensors]
    for s in range(n - 1):
        before = [list(own) for own in pieces]
        ring.exchange([pieces[r][(r - s) % n] for r in range(n)])
        for r in range(n):
            at = (r - s - 1) % n
            pieces[r][at] = before[r][at] + before[r - 1][at]
    for s in range(n - 1):
        before = [list(own) for own in pieces]
        ring.exchange([pieces[r][(r + 1 - s) % n] for r in range(n)])
        for r in range(n):
            at = (r - s) % n
            pieces[r][at] = before[r - 1][at]
    return [torch.cat(own) for own in pieces]


def equal_pieces(tensor, n):
    """Pieces of one length; what is left over is lost."""
    size = len(tensor) // n
    return [tensor[i * size : (i + 1) * size].clone() for i in range(n)]


def padded_pieces(tensor, n):
    size = -(-len(tensor) // n)
    longer = torch.cat([tensor, tensor.new_zeros(size * n - len(tensor))])
    return list(longer.clone().split(size))


def filled_up(tensors, ring):
    size = len(tensors[0])
    return [total[:size].clone() for total in wrong(cut=padded_pieces)(tensors, ring)]


def sent_in_float32(tensors, ring):
    """Adds up in another dtype, and returns the right one."""
    totals = wrong(cut=lambda tensor, n: split(tensor.float(), n))(tensors, ring)
    return [total.to(tensors[0].dtype) for total in totals]


MISTAKES = [
    Mistake(
        "whole tensors are sent.",
        "Then each rank sends N - 1 tensors. Cut them into N pieces, and send one piece in each step.",
        whole_tensors,
    ),
    Mistake(
        "everything goes through one rank after the other.",
        "The others wait meanwhile, and a rank sends whole tensors. In a ring all ranks send in each step, a piece "
        "each.",
        through_rank_0,
    ),
    Mistake(
        "nothing is sent.",
        "The tensors are in N processes: a rank sees the others only through `ring.exchange`.",
        without_sending,
    ),
    Mistake(
        "what was received is not used.",
        "A rank has its own pieces and `received[r]`. The tensors of other ranks are out of its reach, and so are "
        "their pieces.",
        (sent_for_show, neighbours_pieces),
    ),
    Mistake(
        "all-gather is missing.",
        "After reduce-scatter each rank has one complete piece. N - 1 further steps bring it to the others.",
        wrong(gather_steps=lambda n: 0),
    ),
    Mistake(
        "reduce-scatter is missing.",
        "First the pieces are added up, in N - 1 steps. Only then is there something to gather.",
        wrong(reduce_steps=lambda n: 0),
    ),
    Mistake(
        "reduce-scatter takes one step too many or too few.",
        "A piece goes round N ranks: N - 1 steps. One more adds a rank's numbers twice.",
        (wrong(reduce_steps=lambda n: n if n > 1 else 0), wrong(reduce_steps=lambda n: max(0, n - 2))),
    ),
    Mistake(
        "all-gather takes one step too many or too few.",
        "A complete piece needs N - 1 steps to all others.",
        (wrong(gather_steps=lambda n: n if n > 1 else 0), wrong(gather_steps=lambda n: max(0, n - 2))),
    ),
    Mistake(
        "with one rank something is sent.",
        "There are N - 1 = 0 steps.",
        (wrong(reduce_steps=lambda n: max(1, n - 1)), wrong(gather_steps=lambda n: max(1, n - 1))),
    ),
    Mistake(
        "all-gather adds.",
        "What comes in all-gather is complete. It replaces the piece.",
        wrong(gather=lambda own, part: own + part),
    ),
    Mistake(
        "reduce-scatter replaces.",
        "What comes in reduce-scatter is a sum so far. It is added to the rank's own piece.",
        wrong(combine=lambda own, part: part),
    ),
    Mistake(
        "what is received is added to the piece that was sent.",
        "Rank r - 1 sent its piece (r - 1) - s. It belongs to piece (r - s - 1) mod N of rank r.",
        (wrong(takes=lambda r, s: r - s), wrong(takes=lambda r, s: r - s + 1)),
    ),
    Mistake(
        "each rank sends the same piece in each step.",
        "In step s it is piece (r - s) mod N: the one that it has just added to.",
        wrong(first=lambda r, s: r, takes=lambda r, s: r - 1),
    ),
    Mistake(
        "all-gather begins with a piece that is not complete.",
        "After reduce-scatter rank r has the sum of piece (r + 1) mod N. It sends that one first.",
        (
            wrong(second=lambda r, s: r - s, puts=lambda r, s: r - s - 1),
            wrong(second=lambda r, s: r - s),
            wrong(second=lambda r, s: r - 1 - s, puts=lambda r, s: r - s - 2),
        ),
    ),
    Mistake(
        "all-gather puts what it receives in the place of another piece.",
        "Rank r - 1 sent its piece r - s, so it replaces piece (r - s) mod N of rank r.",
        (wrong(puts=lambda r, s: r + 1 - s), wrong(puts=lambda r, s: r - s - 1)),
    ),
    Mistake(
        "`received` is read at the sender's place.",
        "`received[r]` is what rank r received. It comes from rank r - 1 already.",
        (wrong(sender=lambda r, n: (r - 1) % n), wrong(sender=lambda r, n: (r + 1) % n)),
    ),
    Mistake(
        "the mean is returned.",
        "The parts of a product are added up. Nothing is divided.",
        (wrong(done=lambda pieces, r, n: torch.cat(pieces[r]) // n), wrong(done=lambda p, r, n: torch.cat(p[r]) / n)),
    ),
    Mistake(
        "`chunk` makes fewer pieces than N.",
        "`torch.chunk` rounds the length of a piece up, so 5 numbers become 3 pieces of 4. `tensor_split` makes N.",
        wrong(cut=lambda tensor, n: list(tensor.clone().chunk(n))),
    ),
    Mistake(
        "numbers that are left over get lost.",
        "`len(tensor) // N` times N may be less than the length. `tensor_split(N)` takes all.",
        wrong(cut=equal_pieces),
    ),
    Mistake(
        "the results are longer than the tensors.",
        "Pieces may have different lengths; nothing has to be filled up. `tensor_split(N)` cuts so.",
        wrong(cut=padded_pieces),
    ),
    Mistake(
        "the pieces are filled up to one length.",
        "Pieces may have different lengths. `tensor_split(N)` cuts so, and no bytes are sent for nothing.",
        filled_up,
    ),
    Mistake(
        "pieces are sent in another dtype.",
        "That changes the bytes that are sent, and may round the numbers. Nothing is converted.",
        sent_in_float32,
    ),
    Mistake(
        "the pieces of a rank are put together in another order.",
        "The first piece stands first, whichever was complete first.",
        (
            wrong(done=lambda pieces, r, n: torch.cat([pieces[r][(r + 1 - s) % n] for s in range(n)])),
            wrong(done=lambda pieces, r, n: torch.cat([pieces[r][(r + 1 + s) % n] for s in range(n)])),
        ),
    ),
    Mistake(
        "pieces are returned, not whole tensors.",
        "Put the pieces of a rank together: `torch.cat(pieces[r])`.",
        (wrong(done=lambda pieces, r, n: pieces[r]), wrong(done=lambda pieces, r, n: torch.stack(pieces[r]))),
    ),
    Mistake(
        "the dtype changes.",
        "The sum has the dtype of the tensors: nothing is converted.",
        (
            wrong(done=lambda pieces, r, n: torch.cat(pieces[r]).float()),
            wrong(cut=lambda tensor, n: split(tensor.float(), n)),
        ),
    ),
]
