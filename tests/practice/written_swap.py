"""Wrong answers to 11.swap as people write them; see written_otherwise.py."""

import torch


class Space:
    """A first attempt, which is right. Subclasses change one thing."""

    def __init__(self, k, v):
        self.k, self.v, self.saved = k, v, {}

    def swap_out(self, request, block_ids):
        k = torch.cat([self.k[:, b] for b in block_ids], dim=1)[:, : request.num_computed_tokens]
        v = torch.cat([self.v[:, b] for b in block_ids], dim=1)[:, : request.num_computed_tokens]
        self.saved[request.request_id] = (k, v)

    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        size = self.k.shape[2]
        for i, slot in enumerate(slots):
            self.k[:, slot // size, slot % size] = k[:, start + i]
            self.v[:, slot // size, slot % size] = v[:, start + i]

    def run(self, step, compute):
        for pair in step.swapped_out:
            self.swap_out(*pair)
        for triple in step.swapped_in:
            self.swap_in(*triple)
        return compute()


class ComputesFirst(Space):
    def run(self, step, compute):
        result = compute()
        super().run(step, lambda: None)
        return result


class InFirst(Space):
    def run(self, step, compute):
        for request, start, slots in step.swapped_in:
            self.swap_in(request, start, slots)
        for request, block_ids in step.swapped_out:
            self.swap_out(request, block_ids)
        return compute()


class BackLater(Space):
    def run(self, step, compute):
        for request, block_ids in step.swapped_out:
            self.swap_out(request, block_ids)
        result = compute()
        for request, start, slots in step.swapped_in:
            self.swap_in(request, start, slots)
        return result


class KeepsViews(Space):
    def swap_out(self, request, block_ids):
        size = self.k.shape[2]
        at = [(block_ids[p // size], p % size) for p in range(request.num_computed_tokens)]
        self.saved[request.request_id] = [self.k[:, b, o] for b, o in at], [self.v[:, b, o] for b, o in at]

    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        self.saved[request.request_id] = torch.stack(k, 1), torch.stack(v, 1)
        super().swap_in(request, start, slots)


class KeysOnly(Space):
    def swap_in(self, request, start, slots):
        v = self.v.clone()
        super().swap_in(request, start, slots)
        self.v[:] = v


class FirstLayer(Space):
    def swap_in(self, request, start, slots):
        k, v = self.k.clone(), self.v.clone()
        super().swap_in(request, start, slots)
        self.k[1:], self.v[1:] = k[1:], v[1:]


class FromTheFirst(Space):
    def swap_in(self, request, start, slots):
        super().swap_in(request, 0, slots)


class KeepsAll(Space):
    def swap_in(self, request, start, slots):
        kept = self.saved[request.request_id]
        super().swap_in(request, start, slots)
        self.saved[request.request_id] = kept


class ForgetsTheTokens(Space):
    def run(self, step, compute):
        super().run(step, compute)


class Sorts(Space):
    def swap_out(self, request, block_ids):
        block_ids.sort()
        super().swap_out(request, block_ids)


class OldPlaces(Space):
    def swap_out(self, request, block_ids):
        super().swap_out(request, block_ids)
        size = self.k.shape[2]
        self.places = {
            **getattr(self, "places", {}),
            request.request_id: [b * size + o for b in block_ids for o in range(size)],
        }

    def swap_in(self, request, start, slots):
        super().swap_in(request, start, self.places[request.request_id][start : start + len(slots)])


class WritesNothing(Space):
    def swap_in(self, request, start, slots):
        pass


class HasCopies(Space):
    def __init__(self, k, v):
        super().__init__(k.clone(), v.clone())


class CutsTheSlots(Space):
    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        self.k.flatten(1, 2)[:, slots[start:]] = k[:, start:]
        self.v.flatten(1, 2)[:, slots[start:]] = v[:, start:]


class MovesOrComputes(Space):
    def run(self, step, compute):
        if not step.swapped_out and not step.swapped_in:
            return compute()
        super().run(step, lambda: None)


class BlocksOnly(Space):
    """Whole blocks are saved and written back, as if every block came back."""

    def swap_out(self, request, block_ids):
        self.saved[request.request_id] = self.k[:, block_ids], self.v[:, block_ids]

    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        blocks = list(dict.fromkeys(slot // self.k.shape[2] for slot in slots))
        self.k[:, blocks], self.v[:, blocks] = k, v


class ValuesAreKeys(Space):
    def swap_out(self, request, block_ids):
        super().swap_out(request, block_ids)
        k, _ = self.saved[request.request_id]
        self.saved[request.request_id] = (k, k.clone())


class SavesHalf(Space):
    def swap_out(self, request, block_ids):
        super().swap_out(request, block_ids)
        self.saved[request.request_id] = [
            part.to(torch.float16).to(part.dtype) for part in self.saved[request.request_id]
        ]


class Zips(Space):
    def run(self, step, compute):
        for out, back in zip(step.swapped_out, step.swapped_in):
            self.swap_out(*out)
            self.swap_in(*back)
        return compute()


class Nests(Space):
    def run(self, step, compute):
        for out in step.swapped_out:
            self.swap_out(*out)
            for back in step.swapped_in:
                self.swap_in(*back)
        return compute()


class IndexesByTensor(Space):
    def swap_in(self, request, start, slots):
        k, v = self.saved.pop(request.request_id)
        self.k.flatten(1, 2)[:, torch.tensor(slots)] = k[:, start:]
        self.v.flatten(1, 2)[:, torch.tensor(slots)] = v[:, start:]


class LastBlockFirst(Space):
    def swap_out(self, request, block_ids):
        super().swap_out(request, list(reversed(block_ids)))


class PopsAsItGoes(Space):
    def run(self, step, compute):
        while step.swapped_out:
            self.swap_out(*step.swapped_out.pop(0))
        return super().run(step, compute)


class LastOfEach(Space):
    def run(self, step, compute):
        return super().run(type(step)(step.swapped_out[-1:], step.swapped_in[-1:]), compute)


CASES = {
    "11.swap": [
        ("lists of the step are changed", PopsAsItGoes),
        (None, LastOfEach),
        ("computed before the swapped-out tokens are saved", ComputesFirst),
        ("before the others are swapped out", InFirst),
        ("after the step was computed", BackLater),
        ("still the engine's memory", KeepsViews),
        ("only the keys", KeysOnly),
        ("only one layer", FirstLayer),
        ("`start` is not used", FromTheFirst),
        ("still in `saved`", KeepsAll),
        ("result of `compute()` is lost", ForgetsTheTokens),
        ("blocks are sorted", Sorts),
        ("old blocks", OldPlaces),
        (None, BlocksOnly),
        ("in place of values", ValuesAreKeys),
        ("in fewer bits", SavesHalf),
        ("as are in both lists", Zips),
        ("an index of floats", IndexesByTensor),
        ("in reverse order", LastBlockFirst),
        ("only in a step that swaps others out", Nests),
        ("nothing is written", WritesNothing),
        ("into a copy", HasCopies),
        ("sliced at `start` too", CutsTheSlots),
        ("is not called", MovesOrComputes),
    ]
}
