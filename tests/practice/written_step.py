"""Wrong answers to 10.step as people write them; see written_otherwise.py."""

from course_lib.practice.lessons.l10.step import step


def step_batch_by_batch(waiting, running, num_blocks, block_size, max_num_seqs):
    if running:
        return [(r, r.num_tokens - r.num_computed_tokens) for r in running]
    return step(waiting, [], num_blocks, block_size, max_num_seqs)


def step_prompts_first(waiting, running, num_blocks, block_size, max_num_seqs):
    """As some early servers do: a step computes prompts or single tokens."""
    plan = step(waiting, running, num_blocks, block_size, max_num_seqs)
    prompts = [(r, n) for r, n in plan if r.num_computed_tokens == 0]
    return prompts if prompts else plan


def step_free_now(waiting, running, num_blocks, block_size, max_num_seqs):
    """Counts only the blocks that are in use now, for the answer too."""

    def blocks(n):
        return (n + block_size - 1) // block_size

    free = num_blocks - sum(blocks(r.num_tokens) for r in running)
    plan = [(r, r.num_tokens - r.num_computed_tokens) for r in running]
    for r in waiting:
        if blocks(r.num_tokens) > free or len(plan) >= max_num_seqs:
            break
        free -= blocks(r.num_tokens)
        plan.append((r, r.num_tokens))
    return plan


def step_one_more(waiting, running, num_blocks, block_size, max_num_seqs):
    plan, left = step([], running, num_blocks, block_size, max_num_seqs), num_blocks
    for r in running:
        left -= -(-(r.num_prompt_tokens + r.params.max_tokens) // block_size)
    for r in waiting:
        need = -(-(r.num_prompt_tokens + r.params.max_tokens) // block_size)
        if need > left or len(plan) == max_num_seqs:
            break
        left -= need
        plan.append((r, r.num_tokens))
    return plan


def step_skips(waiting, running, num_blocks, block_size, max_num_seqs):
    plan = step([], running, num_blocks, block_size, max_num_seqs)
    for r in waiting:
        trial = step([r], [one for one, _ in plan], num_blocks, block_size, max_num_seqs)
        plan += [(one, n) for one, n in trial if one is r]
    return plan


def step_separate_limits(waiting, running, num_blocks, block_size, max_num_seqs):
    plan = [(r, r.num_tokens - r.num_computed_tokens) for r in running]
    joined = step(waiting, running, num_blocks, block_size, len(running) + max_num_seqs)
    return plan + [pair for pair in joined if pair[0] in waiting]


def step_moves(waiting, running, num_blocks, block_size, max_num_seqs):
    plan = step(waiting, running, num_blocks, block_size, max_num_seqs)
    while waiting and any(waiting[0] is r for r, _ in plan):
        running.append(waiting.pop(0))
    return plan


def step_names(waiting, running, num_blocks, block_size, max_num_seqs):
    return [(r.request_id, n) for r, n in step(waiting, running, num_blocks, block_size, max_num_seqs)]


def step_forgets(waiting, running, num_blocks, block_size, max_num_seqs):
    step(waiting, running, num_blocks, block_size, max_num_seqs)


def blocks_of(r, size):
    return -(-(r.num_prompt_tokens + r.params.max_tokens - 1) // size)


def step_floor(waiting, running, num_blocks, block_size, max_num_seqs):
    """// alone."""
    used, plan = 0, []
    for i, r in enumerate(running + waiting):
        used += (r.num_prompt_tokens + r.params.max_tokens - 1) // block_size
        if i >= len(running) and (i >= max_num_seqs or used > num_blocks):
            break
        plan.append((r, r.num_tokens - r.num_computed_tokens))
    return plan


def step_only_new(waiting, running, num_blocks, block_size, max_num_seqs):
    return step(waiting, running, num_blocks, block_size, max_num_seqs)[len(running) :]


def step_only_old(waiting, running, num_blocks, block_size, max_num_seqs):
    return [(r, r.num_tokens - r.num_computed_tokens) for r in running]


def step_each_alone(waiting, running, num_blocks, block_size, max_num_seqs):
    """Checks for each request alone whether it fits beside the running ones."""
    left, plan = (
        num_blocks - sum(blocks_of(r, block_size) for r in running),
        [(r, r.num_tokens - r.num_computed_tokens) for r in running],
    )
    for r in waiting:
        if len(plan) >= max_num_seqs or blocks_of(r, block_size) > left:
            return plan
        plan.append((r, r.num_tokens))
    return plan


def step_in_use(waiting, running, num_blocks, block_size, max_num_seqs):
    """Counts only the blocks that are in use now."""
    left, plan = (
        num_blocks - sum(-(-r.num_computed_tokens // block_size) for r in running),
        [(r, r.num_tokens - r.num_computed_tokens) for r in running],
    )
    for r in waiting:
        left -= blocks_of(r, block_size)
        if len(plan) >= max_num_seqs or left < 0:
            return plan
        plan.append((r, r.num_tokens))
    return plan


def step_shortest(waiting, running, num_blocks, block_size, max_num_seqs):
    return step(sorted(waiting, key=lambda r: len(r.token_ids)), running, num_blocks, block_size, max_num_seqs)


def step_one_fewer(waiting, running, num_blocks, block_size, max_num_seqs):
    return step(waiting, running, num_blocks, block_size, max(max_num_seqs - 1, len(running)))


def step_joins_all(waiting, running, num_blocks, block_size, max_num_seqs):
    """Compares the running requests alone with max_num_seqs."""
    return step(waiting, running, num_blocks, block_size, 99 if len(running) < max_num_seqs else max_num_seqs)


def step_fewest_tokens(waiting, running, num_blocks, block_size, max_num_seqs):
    by_need = sorted(waiting, key=lambda r: len(r.token_ids) + r.params.max_tokens)
    return step(by_need, running, num_blocks, block_size, max_num_seqs)


def step_sums_tokens(waiting, running, num_blocks, block_size, max_num_seqs):
    """Rounds the tokens of all running requests up at once."""
    plan = [(r, r.num_tokens - r.num_computed_tokens) for r in running]
    tokens = sum(r.num_prompt_tokens + r.params.max_tokens - 1 for r in running)
    left = num_blocks - -(-tokens // block_size)
    for r in waiting:
        left -= -(-(r.num_prompt_tokens + r.params.max_tokens - 1) // block_size)
        if left < 0 or len(plan) == max_num_seqs:
            break
        plan.append((r, r.num_tokens))
    return plan


CASES = {
    "10.step": [
        ("whole batch is done", step_batch_by_batch),
        ("pause while a prompt", step_prompts_first),
        ("reserved for the answer", step_free_now),
        ("one slot too many", step_one_more),
        ("overtake", step_skips),
        ("running requests do not count", step_separate_limits),
        ("lists are changed", step_moves),
        (None, step_names),
        ("nothing is returned", step_forgets),
        ("a block that is not full", step_floor),
        ("running requests are left out", step_only_new),
        ("no waiting request is admitted", step_only_old),
        ("take no blocks", step_each_alone),
        ("reserved for running requests are given away", step_in_use),
        ("shortest request", step_shortest),
        ("shortest request", step_fewest_tokens),
        ("admitted in this step do not count", step_joins_all),
        ("one request fewer", step_one_fewer),
        ("rounded up as one sum", step_sums_tokens),
    ]
}
