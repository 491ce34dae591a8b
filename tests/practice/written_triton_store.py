"""Wrong answers to 08.store_kv as people write them in torch; see written_otherwise.py."""

from course_lib.practice.lessons.l08.store_kv import store_kv


def store_last_slot(k, v, k_cache, v_cache, slot_mapping):
    k_cache.view(-1, *k.shape[1:])[slot_mapping] = k
    v_cache.view(-1, *v.shape[1:])[slot_mapping] = v


def store_into_a_copy(k, v, k_cache, v_cache, slot_mapping):
    for i, slot in enumerate(slot_mapping):
        if slot >= 0:
            k_cache.clone()[slot // k_cache.shape[1]][slot % k_cache.shape[1]] = k[i]


def store_without_offset(k, v, k_cache, v_cache, slot_mapping):
    for i, slot in enumerate(slot_mapping.tolist()):
        if slot >= 0:
            k_cache[slot // k_cache.shape[1]][0], v_cache[slot // k_cache.shape[1]][0] = k[i], v[i]


def store_first_rows(k, v, k_cache, v_cache, slot_mapping):
    slots = slot_mapping[slot_mapping != -1]
    k_cache.flatten(0, 1)[slots], v_cache.flatten(0, 1)[slots] = k[: len(slots)], v[: len(slots)]


def store_keys_alone(k, v, k_cache, v_cache, slot_mapping):
    store_kv(k, v, k_cache, v_cache.clone(), slot_mapping)


def store_turned(k, v, k_cache, v_cache, slot_mapping):
    store_kv(v, k, k_cache, v_cache, slot_mapping)


def store_halves(k, v, k_cache, v_cache, slot_mapping):
    store_kv(k / 2, v / 2, k_cache, v_cache, slot_mapping)


def store_tidies(k, v, k_cache, v_cache, slot_mapping):
    store_kv(k, v, k_cache, v_cache, slot_mapping)
    slot_mapping[slot_mapping < 0] = 0


def looped_store(skip=lambda slot: slot < 0, stop=False, size=lambda cache: cache.shape[1], cache_of_values=1):
    def answer(k, v, *rest):
        caches, slots = rest[:2], rest[2]
        for i, slot in enumerate(slots.tolist()):
            if skip(slot):
                if stop:
                    break
                continue
            for new, cache in ((k, caches[0]), (v, caches[cache_of_values])):
                cache[slot // size(cache), slot % size(cache)] = new[i]

    return answer


def store_shorter_slots(k, v, k_cache, v_cache, slot_mapping):
    """Flat addresses that do not count the heads."""
    heads, d = k.shape[1:]
    for i, slot in enumerate(slot_mapping.tolist()):
        if slot >= 0:
            k_cache.view(-1)[slot * d : slot * d + heads * d], v_cache.view(-1)[slot * d : slot * d + heads * d] = (
                k[i].flatten(),
                v[i].flatten(),
            )


CASES = {
    "08.store_kv": [
        ("padding is written", store_last_slot),
        ("not written in place", store_into_a_copy),
        ("offset within the block", store_without_offset),
        ("numbers of other tokens", store_first_rows),
        ("only the keys", store_keys_alone),
        ("exchanged", store_turned),
        (None, store_halves),
        ("inputs are changed", store_tidies),
        ("slot 0 is treated as padding", looped_store(skip=lambda slot: slot <= 0)),
        ("tokens after padding are left out", looped_store(stop=True)),
        ("number of blocks", looped_store(size=len)),
        ("both written into k_cache", looped_store(cache_of_values=0)),
        ("head_dim numbers", store_shorter_slots),
    ]
}
