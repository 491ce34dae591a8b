"""Wrong answers to 14.window and 14.sinks as people write them; see written_otherwise.py. RIGHT: other right ones."""

import torch

# --- 14.window


def slide_while(block_ids, num_tokens, window, block_size):
    freed, place = [], 0
    while place < len(block_ids) and (place + 1) * block_size <= num_tokens + 1 - window:
        if block_ids[place] >= 0:
            freed.append(block_ids[place])
        block_ids[place] = -1
        place += 1
    return freed


def slide_truthy(block_ids, num_tokens, window, block_size):
    freed = []
    for place in range(max(0, num_tokens - window + 1) // block_size):
        if block_ids[place] and block_ids[place] != -1:
            freed.append(block_ids[place])
            block_ids[place] = -1
    return freed


def slide_excluding_itself(block_ids, num_tokens, window, block_size):
    freed = []
    for place in range(len(block_ids)):
        if (place + 1) * block_size <= num_tokens - window and block_ids[place] != -1:
            freed.append(block_ids[place])
            block_ids[place] = -1
    return freed


def slide_by_first_token(block_ids, num_tokens, window, block_size):
    freed = []
    for place in range(len(block_ids)):
        if place * block_size < num_tokens - window + 1 and block_ids[place] != -1:
            freed.append(block_ids[place])
            block_ids[place] = -1
    return freed


def slide_keeps_tail(block_ids, num_tokens, window, block_size):
    keep = -(-window // block_size)
    freed = [b for b in block_ids[: max(0, len(block_ids) - keep)] if b != -1]
    for place in range(max(0, len(block_ids) - keep)):
        block_ids[place] = -1
    return freed


def slide_pops(block_ids, num_tokens, window, block_size):
    freed = []
    for _ in range(max(0, num_tokens - window + 1) // block_size):
        if block_ids[0] != -1:
            freed.append(block_ids[0])
        block_ids.pop(0)
    return freed


def slide_again(block_ids, num_tokens, window, block_size):
    out = max(0, num_tokens - window + 1) // block_size
    freed = block_ids[:out]
    block_ids[:out] = [-1] * out
    return freed


def slide_new_list(block_ids, num_tokens, window, block_size):
    out = max(0, num_tokens - window + 1) // block_size
    freed = [b for b in block_ids[:out] if b != -1]
    block_ids = [-1] * out + block_ids[out:]
    return freed


# --- 14.sinks


def sees_with_where(num_new, num_tokens, window, sinks):
    rows = torch.arange(num_tokens)[num_tokens - num_new :].unsqueeze(1)
    columns = torch.arange(num_tokens).unsqueeze(0)
    inside = (columns > rows - window) | (columns < sinks)
    return torch.where(columns <= rows, inside, torch.tensor(False))


def sees_future_sinks(num_new, num_tokens, window, sinks):
    mask = torch.zeros(num_new, num_tokens, dtype=torch.bool)
    for i in range(num_new):
        own = num_tokens - num_new + i
        mask[i, max(0, own - window + 1) : own + 1] = True
    mask[:, :sinks] = True
    return mask


def sees_minus_sinks(num_new, num_tokens, window, sinks):
    """As StreamingLLM counts: the window and the sinks together have `window` places."""
    mask = torch.zeros(num_new, num_tokens, dtype=torch.bool)
    for i in range(num_new):
        own = num_tokens - num_new + i
        mask[i, max(0, own - max(1, window - sinks) + 1) : own + 1] = True
        mask[i, : min(sinks, own + 1)] = True
    return mask


def sees_one_more(num_new, num_tokens, window, sinks):
    p = torch.arange(num_tokens)
    rows = p[num_tokens - num_new :, None]
    return (p <= rows) & ((p >= rows - window) | (p < sinks))


def sees_from_zero(num_new, num_tokens, window, sinks):
    rows, p = torch.arange(num_new)[:, None], torch.arange(num_tokens)
    return (p <= rows) & ((p > rows - window) | (p < sinks))


def sees_only_window(num_new, num_tokens, window, sinks):
    square = torch.ones(num_tokens, num_tokens).tril().triu(1 - window).bool()
    return square[num_tokens - num_new :]


def sees_hidden(num_new, num_tokens, window, sinks):
    return ~sees_with_where(num_new, num_tokens, window, sinks)


def sees_last_rows_negative(num_new, num_tokens, window, sinks):
    """The slice [-0:] is everything."""
    p = torch.arange(num_tokens)
    rows = p[-num_new:, None]
    return (p <= rows) & ((p > rows - window) | (p < sinks))


RIGHT = {"14.window": [slide_while], "14.sinks": [sees_with_where]}
CASES = {
    "14.window": [
        ("block 0 is passed over", slide_truthy),
        ("does not count the token itself", slide_excluding_itself),
        ("first position is not seen", slide_by_first_token),
        ("number of blocks that stay", slide_keeps_tail),
        ("removed from the list", slide_pops),
        ("-1 is given back", slide_again),
        ("caller's list is not changed", slide_new_list),
    ],
    "14.sinks": [
        ("sinks that come after it", sees_future_sinks),
        ("out of the window", sees_minus_sinks),
        ("one position too long", sees_one_more),
        ("rows begin at position 0", sees_from_zero),
        ("sinks are not seen", sees_only_window),
        ("exchanged", sees_hidden),
        ("row for every token", sees_last_rows_negative),
    ],
}
