"""The part of written_otherwise.py with lesson 02."""

import torch
import torch.nn.functional as F

from course_lib.decoding import first_divergence, generate_cached
from course_lib.errors import CacheFull
from course_lib.kvcache import ContiguousCache, Recompute

# --- 02.cache ---------------------------------------------------------------------------------


class Looping:
    """A right cache that goes token by token and head by head; each class below does one thing otherwise."""

    def __init__(self, config, max_tokens):
        self.config, self.room, self.num_tokens = config, max_tokens, 0
        self.kept = torch.zeros(config.num_layers, 2, max_tokens + 1, config.num_kv_heads, config.head_dim)

    def attend(self, layer, q, k, v):
        start, group = self.num_tokens, q.shape[1] // k.shape[1]
        if start + len(k) > self.room:
            raise CacheFull("no room")
        keys, values = self.kept[layer]
        for i in range(len(k)):
            keys[start + i], values[start + i] = k[i], v[i]
        out = torch.zeros_like(q)
        for i in range(len(q)):
            for head in range(q.shape[1]):
                seen = self.sees(start, i)
                scores = keys[seen, head // group] @ q[i, head] / q.shape[2] ** 0.5
                out[i, head] = scores.softmax(0) @ values[seen, head // group]
        self.num_tokens += len(k) * (layer == self.config.num_layers - 1)
        return out

    def sees(self, start, i):
        return slice(0, start + i + 1)

    def reset(self):
        self.num_tokens = 0


class LoopingPastItself(Looping):
    def sees(self, start, i):
        return slice(0, max(start, 1)) if start else slice(0, i + 1)


class LoopingWithoutTheFirst(Looping):
    def sees(self, start, i):
        return slice(min(start, 1), start + i + 1)


class LoopingFromTheFirstKey(Looping):
    def sees(self, start, i):
        return slice(0, i + 1)


class LoopingThatKeepsItsCount(Looping):
    def reset(self):
        self.kept = torch.zeros_like(self.kept)


class LoopingWithCountInEveryLayer(Looping):
    def attend(self, layer, q, k, v):
        out = super().attend(layer, q, k, v)
        self.num_tokens += len(k) * (layer < self.config.num_layers - 1)
        return out


class cache_of_steps:  # noqa: N801
    """Counts calls, and attends with torch's function."""

    def __init__(self, config, max_tokens):
        self.layers, self.most, self.num_tokens = config.num_layers, max_tokens, 0
        self.k = torch.zeros(config.num_layers, config.num_kv_heads, max_tokens, config.head_dim)
        self.v = self.k.clone()

    def attend(self, layer, q, k, v):
        at = torch.arange(self.num_tokens, self.num_tokens + len(k))
        if at[-1] >= self.most:
            raise CacheFull("no room")
        self.k[layer].index_copy_(1, at, k.transpose(0, 1))
        self.v[layer].index_copy_(1, at, v.transpose(0, 1))
        seen = torch.arange(int(at[-1]) + 1) <= at[:, None]
        keys, values = self.k[layer, :, : at[-1] + 1], self.v[layer, :, : at[-1] + 1]
        out = self.look(q.transpose(0, 1), keys, values, seen)
        if layer + 1 == self.layers:
            self.num_tokens = self.after(len(k))
        return out

    def look(self, q, keys, values, seen):
        return F.scaled_dot_product_attention(q[None], keys[None], values[None], attn_mask=seen, enable_gqa=True)[
            0
        ].transpose(0, 1)

    def after(self, new):
        return self.num_tokens + 1

    def reset(self):
        self.num_tokens = 0


class cache_without_sqrt(cache_of_steps):  # noqa: N801
    """einsum, with no scale at all."""

    def look(self, q, keys, values, seen):
        keys, values = (x.repeat_interleave(len(q) // len(keys), 0) for x in (keys, values))
        scores = torch.einsum("hqd,hkd->hqk", q, keys).masked_fill(~seen, float("-inf"))
        return torch.einsum("hqk,hkd->qhd", scores.softmax(2), values)

    def after(self, new):
        return self.num_tokens + new


class cache_tiled(cache_without_sqrt):  # noqa: N801
    """Repeats the key/value heads as a whole: 0, 1, 0, 1."""

    def look(self, q, keys, values, seen):
        times = len(q) // len(keys)
        return F.scaled_dot_product_attention(
            q, keys.tile(times, 1, 1), values.tile(times, 1, 1), attn_mask=seen
        ).swapaxes(0, 1)


class cache_heads_in_front(cache_without_sqrt):  # noqa: N801
    def look(self, q, keys, values, seen):
        return cache_of_steps.look(self, q, keys, values, seen).movedim(1, 0)


class cache_sees_all(cache_without_sqrt):  # noqa: N801
    def look(self, q, keys, values, seen):
        return cache_of_steps.look(self, q, keys, values, torch.ones_like(seen))


class cache_for_query_heads(cache_without_sqrt):  # noqa: N801
    """Takes memory for as many key/value heads as there are query heads."""

    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens)
        self.k = torch.zeros(config.num_layers, config.num_heads, max_tokens, config.head_dim)
        self.v = torch.zeros_like(self.k)

    def look(self, q, keys, values, seen):
        return cache_of_steps.look(self, q, keys, values, seen)


class cache_that_shares_nothing(cache_without_sqrt):  # noqa: N801
    """Forgets `enable_gqa`."""

    def look(self, q, keys, values, seen):
        return F.scaled_dot_product_attention(q[None], keys[None], values[None], attn_mask=seen)[0].transpose(0, 1)


class cache_of_the_course(ContiguousCache):  # noqa: N801
    """The course's own, asked to attend to the step alone."""

    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens, device="cpu", dtype=torch.float32)

    def attend(self, layer, q, k, v):
        super().attend(layer, q, k, v)
        return Recompute().attend(layer, q, k, v)


class cache_of_one_layer(ContiguousCache):  # noqa: N801
    """The same pair of tensors for every layer."""

    def __init__(self, config, max_tokens):
        super().__init__(config, max_tokens, device="cpu", dtype=torch.float32)
        self.k, self.v = (x[:1].expand(config.num_layers, -1, -1, -1) for x in (self.k, self.v))


class cache_upside_down(Looping):  # noqa: N801
    """No mistake that people make: the values are negative."""

    def attend(self, layer, q, k, v):
        return -super().attend(layer, q, k, v)


# --- 02.generate_cached -----------------------------------------------------------------------


def ask(model, ids, positions, cache):
    return model(torch.tensor(ids), torch.tensor(positions), cache)


def loop_over_all(model, token_ids, max_tokens, cache):
    ids = [*token_ids]
    while len(ids) < len(token_ids) + max_tokens:
        ids.append(ask(model, ids, [*range(len(ids))], cache)[-1].argmax().item())
    return ids[len(token_ids) :]


def loop_ahead(model, token_ids, max_tokens, cache):
    if not max_tokens:
        return []
    answers, place = [int(ask(model, list(token_ids), [*range(len(token_ids))], cache)[-1].argmax())], len(token_ids)
    while len(answers) < max_tokens:
        place += 1
        answers.append(int(ask(model, [answers[-1]], [place], cache)[-1].argmax()))
    return answers


def loop_always_zero(model, token_ids, max_tokens, cache):
    new, step = [], list(token_ids)
    for _ in range(max_tokens):
        new.append(int(ask(model, step, [*range(len(step))], cache)[-1].argmax()))
        step = [new[-1]]
    return new


def loop_of_the_new(model, token_ids, max_tokens, cache):
    new, step, places = [], list(token_ids), [*range(len(token_ids))]
    while len(new) < max_tokens:
        new += [int(ask(model, step, places, cache)[-1].argmax())]
        step, places = new[-1:], [len(new) - 1]
    return new


def loop_through_recompute(model, token_ids, max_tokens, cache):
    ids = list(token_ids)
    for n in range(len(ids), len(ids) + max_tokens):
        ids.append(int(ask(model, ids, [*range(n)], Recompute())[n - 1].argmax()))
    return ids[-max_tokens:] if max_tokens else []


def loop_with_prompt(model, token_ids, max_tokens, cache):
    return [*token_ids, *loop_right(model, token_ids, max_tokens, cache)]


def loop_right(model, token_ids, max_tokens, cache):
    ids = list(token_ids)
    for i in range(max_tokens):
        place = 0 if i == 0 else len(ids) - 1
        ids.append(int(ask(model, ids[place:], [*range(place, len(ids))], cache)[-1].argmax()))
    return ids[len(token_ids) :]


def loop_word_by_word(model, token_ids, max_tokens, cache):
    if max_tokens == 0:
        return []
    for place, token in enumerate(token_ids):
        row = ask(model, [token], [place], cache)[0]
    new = [int(row.argmax())]
    for place in range(len(token_ids), len(token_ids) + max_tokens - 1):
        new.append(int(ask(model, [new[-1]], [place], cache)[0].argmax()))
    return new


def loop_forgetful(model, token_ids, max_tokens, cache):
    new = []
    while len(new) < max_tokens:
        step = [new[-1]] if new else list(token_ids)
        start = len(token_ids) + len(new) - 1 if new else 0
        new.append(int(ask(model, step, [*range(start, start + len(step))], cache)[-1].argmax()))
        cache.reset()
    return new


def loop_and_one_more(model, token_ids, max_tokens, cache):
    return loop_right(model, token_ids, max_tokens + 1, cache)


def loop_into_the_prompt(model, token_ids, max_tokens, cache):
    n = len(token_ids)
    token_ids.extend(loop_right(model, token_ids, max_tokens, cache))
    return token_ids[n:]


def loop_other_ids(model, token_ids, max_tokens, cache):
    """No mistake that people make: other ids altogether."""
    return [1 - (token > 0) for token in loop_right(model, token_ids, max_tokens, cache)]


# --- 02.reuse ---------------------------------------------------------------------------------


def turns_untidy(model, prompts, max_tokens, cache):
    return list(map(lambda prompt: loop_right(model, prompt, max_tokens, cache), prompts))


def turns_tidied_once(model, prompts, max_tokens, cache):
    texts = []
    for i, prompt in enumerate(prompts):
        if i == 0:
            cache.reset()
        texts += [loop_right(model, prompt, max_tokens, cache)]
    return texts


def turns_tidied_behind(model, prompts, max_tokens, cache):
    texts = []
    while len(texts) < len(prompts):
        try:
            texts.append(loop_right(model, prompts[len(texts)], max_tokens, cache))
        finally:
            cache.reset()
    return texts


def turns_with_new_ones(model, prompts, max_tokens, cache):
    texts = []
    for prompt in prompts:
        fresh = cache.__class__.__new__(cache.__class__)
        fresh.__init__()
        texts.append(loop_right(model, prompt, max_tokens, fresh))
    return texts


def turns_in_a_row(model, prompts, max_tokens, cache):
    row = []
    for prompt in prompts:
        cache.reset()
        row += loop_right(model, prompt, max_tokens, cache)
    return row


def turns_overwritten(model, prompts, max_tokens, cache):
    new = []
    for prompt in prompts:
        cache.reset()
        new = loop_right(model, prompt, max_tokens, cache)
    return new


def turns_returned_early(model, prompts, max_tokens, cache):
    texts = []
    for prompt in prompts:
        cache.reset()
        texts.append(loop_right(model, prompt, max_tokens, cache))
        return texts
    return texts


def turns_naive(model, prompts, max_tokens, cache):
    return [loop_through_recompute(model, prompt, max_tokens, None) for prompt in prompts]


def turns_backwards(model, prompts, max_tokens, cache):
    """No mistake that people make: a 9 is put into each text, which is turned round."""
    texts = []
    for prompt in prompts:
        cache.reset()
        texts.append([9, *loop_right(model, prompt, max_tokens, cache)][::-1])
    return texts


# --- 02.find_the_bug --------------------------------------------------------------------------


def differs(model, ids, cache):
    right = ContiguousCache(model.config, len(ids), device="cpu", dtype=torch.float32)
    return first_divergence(model, ids, cache, right)


def finds_in_first_text(model, token_ids, make_cache):
    place = differs(model, token_ids, make_cache())
    if place is None:
        return None
    return {True: "off by one", False: "ignored"}[place.step < 1], place.layer


def finds_with_new_cache(model, token_ids, make_cache):
    for text in range(2):
        place = differs(model, token_ids, make_cache())
        if place is not None:
            return ("not reset" if text else "off by one" if place.step == 0 else "ignored"), place.layer
    return None


def finds_after_generating(model, token_ids, make_cache):
    """Names swapped, with a cache that wrote a text first."""
    from course_lib import SamplingParams

    place = differs(model, token_ids, make_cache())
    if place is not None:
        return ("off by one" if place.step else "ignored"), place.layer
    used = make_cache()
    generate_cached(model, token_ids, SamplingParams(max_tokens=1, ignore_eos=True), used)
    used.reset()
    place = differs(model, token_ids, used)
    return place and ("not reset", place.layer)


def finds_the_name(model, token_ids, make_cache):
    cache = make_cache()
    for names in (("off by one", "ignored"), ("not reset", "not reset")):
        place = differs(model, token_ids, cache)
        if place:
            return names[min(place.step, 1)]
        cache.reset()


def finds_from_one(model, token_ids, make_cache):
    said = finds_right(model, token_ids, make_cache)
    return said and (said[0], 1 + said[1])


def finds_right(model, token_ids, make_cache):
    cache = make_cache()
    for names in (("off by one", "ignored"), ("not reset", "not reset")):
        place = differs(model, token_ids, cache)
        if place:
            return names[min(place.step, 1)], place.layer
        cache.reset()
    return None


def finds_one_against_another(model, token_ids, make_cache):
    place = first_divergence(model, token_ids, make_cache(), make_cache())
    return None if place is None else ("off by one", place.layer)


def finds_off_by_one_alone(model, token_ids, make_cache):
    said = finds_right(model, token_ids, make_cache)
    return ("off by one", said[1]) if said and said[0] == "ignored" else said


def finds_the_last_layer(model, token_ids, make_cache):
    """No mistake that people make: layers from the end."""
    said = finds_right(model, token_ids, make_cache)
    return said and (said[0], said[1] - model.config.num_layers)


CASES = {
    "02.cache": [
        ("newest token is not seen", LoopingPastItself),
        ("first token is dropped", LoopingWithoutTheFirst),
        ("counted from the first key", LoopingFromTheFirstKey),
        ("forgets nothing, or not all", LoopingThatKeepsItsCount),
        ("moves on in every layer", LoopingWithCountInEveryLayer),
        ("counts steps, not tokens", cache_of_steps),
        ("scaled wrongly", cache_without_sqrt),
        ("wrong key/value heads", cache_tiled),
        ("heads stand before the tokens", cache_heads_in_front),
        ("as many as query heads", cache_for_query_heads),
        ("as many as query heads", cache_that_shares_nothing),
        ("sees its own future", cache_sees_all),
        ("never looked at", cache_of_the_course),
        ("all layers share one place", cache_of_one_layer),
        (None, cache_upside_down),
    ],
    "02.generate_cached": [
        ("whole sequence is pushed in every step", loop_over_all),
        ("positions are one too far on", loop_ahead),
        ("stands at position 0", loop_always_zero),
        ("counted from the end of the prompt", loop_of_the_new),
        ("never used", loop_through_recompute),
        ("prompt is returned too", loop_with_prompt),
        ("token by token", loop_word_by_word),
        ("emptied between the steps", loop_forgetful),
        ("one token too many", loop_and_one_more),
        ("caller's list is changed", loop_into_the_prompt),
        (None, loop_other_ids),
    ],
    "02.reuse": [
        ("never reset", turns_untidy),
        ("once, before the first prompt", turns_tidied_once),
        ("behind each text", turns_tidied_behind),
        ("new cache for each prompt", turns_with_new_ones),
        ("into one list", turns_in_a_row),
        ("only one of the texts", turns_overwritten),
        ("only one of the texts", turns_returned_early),
        ("never used", turns_naive),
        (None, turns_backwards),
    ],
    "02.find_the_bug": [
        ("never tried again", finds_in_first_text),
        ("never tried again", finds_with_new_cache),
        ("two bugs are mixed up", finds_after_generating),
        ("name alone", finds_the_name),
        ("counted from 1", finds_from_one),
        ("every cache is said to be right", finds_one_against_another),
        ("taken for one off", finds_off_by_one_alone),
        (None, finds_the_last_layer),
    ],
}
