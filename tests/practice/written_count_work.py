"""Wrong answers to 01.count_work."""


def work_once(prompt_tokens, new_tokens):
    scores = 0
    for length in range(prompt_tokens, prompt_tokens + new_tokens):
        scores += sum(range(1, length + 1))
    return new_tokens, scores


def work_ahead(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(1, new_tokens + 1)]
    return sum(lengths), sum(m * (m + 1) // 2 for m in lengths)


def work_square(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(m**2 for m in lengths)


def work_strict(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(sum(range(m)) for m in lengths)


def work_divided(prompt_tokens, new_tokens):
    lengths = [prompt_tokens + i for i in range(new_tokens)]
    return sum(lengths), sum(m * (m + 1) / 2 for m in lengths)


def work_flat(prompt_tokens, new_tokens):
    return prompt_tokens * new_tokens, new_tokens * sum(range(1, prompt_tokens + 1))


def work_guess(prompt_tokens, new_tokens):
    return prompt_tokens + 7 * new_tokens, 3


def work_shows(prompt_tokens, new_tokens):
    lengths = range(prompt_tokens, prompt_tokens + new_tokens)
    print(sum(lengths), sum(m * (m + 1) // 2 for m in lengths))


def work_one_number(prompt_tokens, new_tokens):
    return sum(m + m * (m + 1) // 2 for m in range(prompt_tokens, prompt_tokens + new_tokens))


def work_without_prompt(prompt_tokens, new_tokens):
    return sum(range(new_tokens)), sum(m * (m + 1) // 2 for m in range(new_tokens))


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


CASES = {
    "01.count_work": [
        ("counted only once", work_once),
        ("one token longer", work_ahead),
        ("whole square", work_square),
        ("diagonal is not counted", work_strict),
        ("numbers are floats", work_divided),
        ("as long as the prompt", work_flat),
        (None, work_guess),
        ("printed, not returned", work_shows),
        ("only one of the two numbers", work_one_number),
        ("prompt is not counted", work_without_prompt),
        ("floats", work_halved_by_slash),
        ("half of the square", work_half_a_square),
    ]
}
