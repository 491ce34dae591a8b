"""Wrong answers to lessons 00 and 01 as a beginner wrote them at the first try, for written_otherwise.py."""

import torch

from course_lib.kvcache import Recompute


def hello_plus(name):
    return "Once upon a time, in a quiet harbour, there lived a patient otter named" + name + "."


def greedy_max_of_dim(logits):
    return torch.max(logits, dim=-1)


def greedy_of_the_last(logits):
    last = logits[-1]
    return torch.argmax(last).item()


def greedy_highest_or_lowest(logits):
    """Settles ties by whether their number is even, as a parallel search might."""
    equals = torch.where(logits == logits.max())[0].tolist()
    return equals[0] if len(equals) % 2 else equals[-1]


def work_halved_by_slash(prompt_tokens, new_tokens):
    tokens = scores = 0
    n = prompt_tokens
    for _ in range(new_tokens):
        tokens += n
        scores += n * (n + 1) / 2
        n += 1
    return tokens, scores


def work_half_a_square(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(n**2 for n in lengths) // 2


def sample_an_index(logits, temperature, top_k, top_p, draw):
    if temperature == 0:
        return int(logits.argmax())
    probs, ids = torch.softmax(logits / temperature, -1).sort(descending=True)
    if top_k:
        probs = probs[:top_k]
        probs = probs / probs.sum()
    if top_p:
        probs = probs[: int((probs.cumsum(0) < top_p).sum()) + 1]
        probs = probs / probs.sum()
    return int(ids[draw(probs)])


def generate_from_all_rows(model, token_ids, max_tokens, stop_token_ids=()):
    ids = list(token_ids)
    for _ in range(max_tokens):
        logits = model(torch.tensor(ids), torch.arange(len(ids)), Recompute())
        ids.append(int(logits.argmax()) % logits.shape[1])
        if ids[-1] in stop_token_ids:
            break
    return ids[len(token_ids) :]


CASES = {
    "00.hello": [("no space before the name", hello_plus)],
    "01.greedy": [
        ("returned together", greedy_max_of_dim),
        ("only the last logit", greedy_of_the_last),
        ("order of equals", greedy_highest_or_lowest),
    ],
    "01.sample": [("sorted order", sample_an_index)],
    "01.generate": [("last row of logits", generate_from_all_rows)],
    "01.count_work": [("floats", work_halved_by_slash), ("half of the square", work_half_a_square)],
}
