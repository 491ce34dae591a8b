"""The mistakes in 17.route. Each is the right router with one part replaced."""

from course_lib.practice.judge.exercise import Mistake


class Router:
    """The right router in parts, of which a wrong one replaces some."""

    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self.block_size, self.max_imbalance, self.max_load = block_size, max_imbalance, max_load
        self.sent = [[] for _ in range(num_replicas)]

    def choose(self, token_ids, loads):
        allowed = self.allowed(loads)
        if not allowed:
            return self.nowhere(token_ids, loads)
        chosen = self.best(token_ids, loads, allowed)
        self.remember(chosen, token_ids)
        return chosen

    def allowed(self, loads):
        return [r for r, load in enumerate(loads) if not self.is_full(load) and not self.is_busy(load, loads)]

    def is_full(self, load):
        return load >= self.max_load

    def is_busy(self, load, loads):
        return load > min(loads) + self.max_imbalance

    def nowhere(self, token_ids, loads):
        return None

    def best(self, token_ids, loads, allowed):
        return min(allowed, key=lambda r: self.order(self.known(token_ids, r), loads[r], r))

    def order(self, known, load, replica):
        return -known, load, replica

    def known(self, token_ids, replica):
        return max((self.shared(token_ids, prompt) for prompt in self.sent[replica]), default=0)

    def shared(self, token_ids, prompt):
        """Blocks at the beginning of both."""
        return same_beginning(token_ids, prompt) // self.block_size

    def remember(self, chosen, token_ids):
        self.sent[chosen].append(list(token_ids))

    def ends(self, token_ids):
        return range(self.block_size, len(token_ids) + 1, self.block_size)

    def blocks(self, token_ids):
        return [tuple(token_ids[end - self.block_size : end]) for end in self.ends(token_ids)]


def same_beginning(one, other):
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count


def wrong(**parts):
    """A wrong router: a class with some parts replaced."""
    return type("PrefixRouter", (Router,), parts)


def known_blocks(self, token_ids, replica):
    """Blocks by themselves, wherever they stand."""
    held = {block for prompt in self.sent[replica] for block in self.blocks(prompt)}
    return sum(block in held for block in self.blocks(token_ids))


def known_run_of_blocks(self, token_ids, replica):
    """Blocks by themselves, up to the first that is not held."""
    held = {block for prompt in self.sent[replica] for block in self.blocks(prompt)}
    blocks = self.blocks(token_ids)
    return next((i for i, block in enumerate(blocks) if block not in held), len(blocks))


def known_in_place(self, token_ids, replica):
    """Equal blocks at the same place, also after one that differs."""
    own = self.blocks(token_ids)
    return max((sum(map(tuple.__eq__, own, self.blocks(prompt))) for prompt in self.sent[replica]), default=0)


def known_in_all(self, token_ids, replica):
    return sum(self.shared(token_ids, prompt) for prompt in self.sent[replica])


def whole_prompt(self, token_ids, prompt):
    """Only a prompt that is a beginning of this one."""
    size = len(prompt) // self.block_size
    return size if self.blocks(prompt) == self.blocks(token_ids)[:size] else 0


def equal_prompt(self, token_ids, prompt):
    return len(prompt) // self.block_size if list(token_ids) == prompt else 0


def rounded_up(self, token_ids, prompt):
    return -(-same_beginning(token_ids, prompt) // self.block_size)


def known_as_owner(self, token_ids, replica):
    return sum(self.__dict__.get("owner", {}).get(tuple(token_ids[:end])) == replica for end in self.ends(token_ids))


def takes_over(self, chosen, token_ids):
    """The replica that was sent a beginning last is the only one that has it."""
    self.__dict__.setdefault("owner", {}).update({tuple(token_ids[:end]): chosen for end in self.ends(token_ids)})


def without_last_token(self, one, other):
    return max(0, min(same_beginning(one, other), len(one) - 1, len(other) - 1)) // self.block_size


def replace_known(self, chosen, token_ids):
    self.sent[chosen] = [list(token_ids)]


def remember_everywhere(self, chosen, token_ids):
    for prompts in self.sent:
        prompts.append(list(token_ids))


def remember_new(self, chosen, token_ids):
    """Only where nothing of it was known."""
    if not self.known(token_ids, chosen):
        self.sent[chosen].append(list(token_ids))


def least_loaded_if_busy(self, token_ids, loads, allowed):
    best = Router.best(self, token_ids, loads, range(len(loads)))
    return best if best in allowed else min(allowed, key=lambda r: loads[r])


def least_loaded_if_full(self, loads):
    return [r for r, load in enumerate(loads) if not self.is_busy(load, loads)]


def remembers_nowhere(self, token_ids, loads):
    self.sent[loads.index(min(loads))].append(list(token_ids))


def raises(self, token_ids, loads):
    return min([])


def raises_its_own(self, token_ids, loads):
    raise RuntimeError("all are full")


MISTAKES = [
    Mistake(
        "prompts play no part.",
        "A prompt should go where its beginning is cached. The loads decide only between replicas that are equal in "
        "that.",
        (
            wrong(known=lambda self, token_ids, r: 0),
            wrong(remember=lambda self, chosen, token_ids: None),
            wrong(remember=remember_everywhere),
            wrong(order=lambda self, known, load, r: (load, -known, r)),
        ),
    ),
    Mistake(
        "the balance plays no part.",
        "A replica that is more than `max_imbalance` above the smallest load gets nothing, whatever it was sent.",
        wrong(is_busy=lambda self, load, loads: False),
    ),
    Mistake(
        "a replica that is exactly `max_imbalance` above the smallest load is left out.",
        "Too busy is *more* than `max_imbalance` above it.",
        (
            wrong(is_busy=lambda self, load, loads: load >= min(loads) + self.max_imbalance > min(loads)),
            wrong(is_busy=lambda self, load, loads: load >= min(loads) + self.max_imbalance),
        ),
    ),
    Mistake(
        "`max_imbalance` is taken for a load.",
        "It is how far a load may be above the smallest one.",
        wrong(is_busy=lambda self, load, loads: load > self.max_imbalance and load > min(loads)),
    ),
    Mistake(
        "loads are held against the mean, and not against the smallest.",
        "Too busy is more than `max_imbalance` above the smallest of `loads`.",
        wrong(is_busy=lambda self, load, loads: load > sum(loads) / len(loads) + self.max_imbalance),
    ),
    Mistake(
        "if the best replica is too busy or full, prompts are forgotten.",
        "Of those that are left, again the one with the longest beginning is taken, not the one with the smallest "
        "load.",
        wrong(best=least_loaded_if_busy),
    ),
    Mistake(
        "full replicas get requests.",
        "A replica with a load of `max_load` or more gets nothing. If all are full, return `None`.",
        (wrong(is_full=lambda self, load: False), wrong(allowed=least_loaded_if_full)),
    ),
    Mistake(
        "a replica is full one request too late.",
        "A load of `max_load` is full already.",
        wrong(is_full=lambda self, load: load > self.max_load),
    ),
    Mistake(
        "a replica is full one request too early.",
        "A load below `max_load` is not full.",
        wrong(is_full=lambda self, load: load >= self.max_load - 1),
    ),
    Mistake(
        "if all are full, an error or a number comes.",
        "Return `None`: the request waits at the router.",
        (
            wrong(nowhere=raises),
            wrong(nowhere=raises_its_own),
            wrong(nowhere=lambda self, token_ids, loads: -1),
            wrong(nowhere=lambda self, token_ids, loads: loads.index(min(loads))),
            wrong(nowhere=lambda self, ids, loads: None if self.blocks(ids) else loads.index(min(loads))),
        ),
    ),
    Mistake(
        "a prompt that was sent nowhere is remembered.",
        "If all are full, no replica has computed it.",
        wrong(nowhere=remembers_nowhere),
    ),
    Mistake(
        "a block counts wherever it stood.",
        "The same tokens after another beginning have other keys and values. A block counts only if all before it are "
        "the same too: compare whole beginnings.",
        (wrong(known=known_blocks), wrong(known=known_run_of_blocks), wrong(known=known_in_place)),
    ),
    Mistake(
        "tokens are counted, and not whole blocks.",
        "A prefix cache keeps whole blocks. What is equal beyond the last of them is computed again anyway.",
        (wrong(shared=lambda self, one, other: same_beginning(one, other)), wrong(shared=rounded_up)),
    ),
    Mistake(
        "only a whole earlier prompt counts.",
        "Two prompts with the same system prompt differ after it. What they have in common counts.",
        (wrong(shared=whole_prompt), wrong(shared=equal_prompt)),
    ),
    Mistake(
        "only the first block is compared.",
        "The *longest* beginning decides, as it saves most.",
        wrong(shared=lambda self, one, other: min(1, same_beginning(one, other) // self.block_size)),
    ),
    Mistake(
        "the beginnings of several prompts are added up.",
        "The longest one that a replica was sent counts, however many prompts had it.",
        wrong(known=known_in_all),
    ),
    Mistake(
        "a block is known for one replica only.",
        "Several replicas may have been sent the same beginning. Remember it for each of them.",
        wrong(known=known_as_owner, remember=takes_over),
    ),
    Mistake(
        "the last block of a prompt does not count.",
        "Each whole block counts: `range(block_size, len(token_ids) + 1, block_size)` ends with the last one.",
        wrong(shared=without_last_token),
    ),
    Mistake(
        "only the last prompt of a replica is known.",
        "What was sent stays known. Add to it.",
        wrong(remember=replace_known),
    ),
    Mistake(
        "a prompt that is known in part is not remembered.",
        "Its further blocks are new to the replica.",
        wrong(remember=remember_new),
    ),
    Mistake(
        "between equal beginnings the load does not decide.",
        "Of replicas with equally long beginnings the one with the smallest load is taken.",
        (
            wrong(order=lambda self, known, load, r: (-known, r)),
            wrong(order=lambda self, known, load, r: (-known, -load, r)),
        ),
    ),
    Mistake(
        "between equal replicas the largest number is taken.",
        "The smallest number decides, where beginnings and loads are equal.",
        wrong(order=lambda self, known, load, r: (-known, load, -r)),
    ),
    Mistake(
        "the replica with the shortest beginning is taken.",
        "The longest one saves most.",
        wrong(order=lambda self, known, load, r: (known, load, r)),
    ),
]
