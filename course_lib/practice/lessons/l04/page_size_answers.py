"""Answers to 04.page_size: right ones written differently, and wrong ones with one part replaced."""


def page_size_by_request(lengths, block_sizes, most_wasted):
    """From the largest size down, request by request."""
    for size in sorted(block_sizes, reverse=True):
        blocks = wasted = 0
        for length in lengths:
            full, rest = divmod(length, size)
            blocks += full + (rest > 0)
            wasted += (size - rest) % size
        if wasted <= most_wasted * blocks * size:
            return dict(block_size=size, wasted=wasted, blocks=blocks)
    return None


def page_size_by_slots(lengths, block_sizes, most_wasted):
    """Adds blocks until the tokens fit."""
    found = []
    for size in block_sizes:
        count = 0
        for length in lengths:
            room = 0
            while room < length:
                room, count = room + size, count + 1
        slots = count * size
        if 1 - sum(lengths) / slots <= most_wasted + 1e-12:
            found.append((size, count, slots - sum(lengths)))
    return dict(zip(("block_size", "blocks", "wasted"), max(found))) if found else None


def answer_with(
    *,
    need=lambda length, size: -(-length // size),
    total=lambda lengths, size, need: sum(need(n, size) for n in lengths),
    waste=lambda blocks, size, lengths: blocks * size - sum(lengths),
    share=lambda wasted, blocks, size, lengths: wasted / (blocks * size or 1),
    small=lambda share, most: share <= most,
    choose=max,
    returns=lambda found: found,
    every=True,
    order=sorted,
):
    """A wrong answer: the right one with one part replaced."""

    def wrong(lengths, block_sizes, most_wasted):
        found = []
        for size in order(block_sizes):
            blocks = total(lengths, size, need)
            wasted = waste(blocks, size, lengths)
            if small(share(wasted, blocks, size, lengths), most_wasted):
                found.append({"block_size": size, "blocks": blocks, "wasted": wasted})
            elif not every:
                break
        return returns(choose(found, key=lambda one: one["block_size"])) if found else None

    return wrong


def mean_of_shares(wasted, blocks, size, lengths):
    return sum((-n % size) / (-(-n // size) * size) for n in lengths) / len(lengths)
