"""Right answers to 17.route, each written differently."""


class RouterWithPrompts:
    """Keeps the prompts themselves, and compares block by block."""

    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self.size, self.slack, self.full = block_size, max_imbalance, max_load
        self.prompts = {replica: [] for replica in range(num_replicas)}

    def choose(self, token_ids, loads):
        best = None
        for replica, load in enumerate(loads):
            if load >= self.full or load - min(loads) > self.slack:
                continue
            found = max((self.shared(token_ids, prompt) for prompt in self.prompts[replica]), default=0)
            if best is None or (found, -load) > best[:2]:
                best = (found, -load, replica)
        if best is not None:
            self.prompts[best[2]].append(list(token_ids))
            return best[2]

    def shared(self, one, other):
        count = 0
        while count < min(len(one), len(other)) and one[count] == other[count]:
            count += 1
        return count // self.size


class RouterWithTrees:
    """A tree of blocks for each replica."""

    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self.block_size, self.max_imbalance, self.max_load = block_size, max_imbalance, max_load
        self.trees = [{} for _ in range(num_replicas)]

    def choose(self, token_ids, loads):
        blocks = [tuple(token_ids[i : i + self.block_size]) for i in range(0, len(token_ids), self.block_size)]
        if blocks and len(blocks[-1]) < self.block_size:
            blocks.pop()
        keys = []
        for replica, load in enumerate(loads):
            if load < self.max_load and load <= min(loads) + self.max_imbalance:
                tree, depth = self.trees[replica], 0
                for block in blocks:
                    if block not in tree:
                        break
                    tree, depth = tree[block], depth + 1
                keys.append((depth, -load, -replica))
        if not keys:
            return None
        chosen = -max(keys)[2]
        tree = self.trees[chosen]
        for block in blocks:
            tree = tree.setdefault(block, {})
        return chosen


class RouterWithChains:
    """One dict for all replicas, from the hash of a beginning to those that were sent it."""

    def __init__(self, num_replicas, block_size, max_imbalance, max_load):
        self.given, self.where = (block_size, max_imbalance, max_load), {}

    def choose(self, token_ids, loads):
        size, slack, full = self.given
        chain, chains = (), []
        for at in range(len(token_ids) // size):
            chain = (chain, *token_ids[at * size : (at + 1) * size])
            chains.append(chain)
        left = {r for r in range(len(loads)) if loads[r] < full and loads[r] - slack <= min(loads)}
        if not left:
            return None
        for chain in chains:
            left = left & self.where.get(chain, set()) or left
            if not left & self.where.get(chain, set()):
                break
        chosen = min(left, key=lambda r: (loads[r], r))
        for chain in chains:
            self.where.setdefault(chain, set()).add(chosen)
        return chosen
