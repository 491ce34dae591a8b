"""Wrong answers to 09.intensity as people write them; see written_otherwise.py."""


def cost_each_reads(model, seq_lens, flops_per_s, bytes_per_s):
    """Adds up sequence by sequence."""
    flops = moved = 0
    for n in seq_lens:
        flops += 2 * model["num_weights"] + 4 * model["num_layers"] * model["num_heads"] * model["head_dim"] * n
        moved += model["itemsize"] * (
            model["num_weights"] + 2 * model["num_layers"] * model["num_kv_heads"] * model["head_dim"] * n
        )
    return {
        "flops": flops,
        "bytes": moved,
        "intensity": flops / moved,
        "seconds": max(flops / flops_per_s, moved / bytes_per_s),
    }


def cost_weights_only(model, seq_lens, flops_per_s, bytes_per_s):
    w, s, b = model["num_weights"], model["itemsize"], len(seq_lens)
    extra = 4 * model["num_layers"] * model["num_heads"] * model["head_dim"] * sum(seq_lens)
    return dict(
        flops=2 * w * b + extra,
        bytes=w * s,
        intensity=(2 * w * b + extra) / (w * s),
        seconds=max((2 * w * b + extra) / flops_per_s, w * s / bytes_per_s),
    )


def cost_multi_head(model, seq_lens, flops_per_s, bytes_per_s):
    head = model["num_heads"] * model["head_dim"] * model["num_layers"]
    flops = sum(2 * model["num_weights"] + 4 * head * n for n in seq_lens)
    moved = model["itemsize"] * (model["num_weights"] + sum(2 * head * n for n in seq_lens))
    return {
        "flops": flops,
        "bytes": moved,
        "intensity": flops / moved,
        "seconds": max(flops / flops_per_s, moved / bytes_per_s),
    }


def cost_macs(model, seq_lens, flops_per_s, bytes_per_s):
    macs = len(seq_lens) * model["num_weights"] + 2 * model["num_layers"] * model["num_heads"] * model[
        "head_dim"
    ] * sum(seq_lens)
    moved = model["itemsize"] * (
        model["num_weights"] + 2 * model["num_layers"] * model["num_kv_heads"] * model["head_dim"] * sum(seq_lens)
    )
    return {
        "flops": macs,
        "bytes": moved,
        "intensity": macs / moved,
        "seconds": max(macs / flops_per_s, moved / bytes_per_s),
    }


def cost_in_turn(model, seq_lens, flops_per_s, bytes_per_s):
    """First it reads, then it computes."""
    found = cost_right(model, seq_lens)
    return {**found, "seconds": found["flops"] / flops_per_s + found["bytes"] / bytes_per_s}


def cost_right(model, seq_lens):
    wide = model["num_layers"] * model["head_dim"] * sum(seq_lens)
    flops = 2 * model["num_weights"] * len(seq_lens) + 4 * wide * model["num_heads"]
    moved = (model["num_weights"] + 2 * wide * model["num_kv_heads"]) * model["itemsize"]
    return {"flops": flops, "bytes": moved, "intensity": flops / moved}


def cost_padded(model, seq_lens, flops_per_s, bytes_per_s):
    found = cost_right(model, [max(seq_lens)] * len(seq_lens))
    return {**found, "seconds": max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s)}


def cost_milliseconds(model, seq_lens, flops_per_s, bytes_per_s):
    found = cost_right(model, seq_lens)
    return {**found, "seconds": 1000 * max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s)}


def cost_shows(model, seq_lens, flops_per_s, bytes_per_s):
    print(cost_right(model, seq_lens))


def cost_from(lens, model, flops_per_s, bytes_per_s, **changed):
    found = cost_right(model | changed, lens)
    return {**found, "seconds": max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s)}


def cost_before(model, seq_lens, flops_per_s, bytes_per_s):
    """The cache as it is before the step."""
    return cost_from([n - 1 for n in seq_lens], model, flops_per_s, bytes_per_s)


def cost_after(model, seq_lens, flops_per_s, bytes_per_s):
    return cost_from([n + 1 for n in seq_lens], model, flops_per_s, bytes_per_s)


def cost_every_layer(model, seq_lens, flops_per_s, bytes_per_s):
    return cost_from(seq_lens, model, flops_per_s, bytes_per_s, num_weights=model["num_weights"] * model["num_layers"])


def cost_no_cache(model, seq_lens, flops_per_s, bytes_per_s):
    """Every token of every sequence goes through the matrices again."""
    found = cost_from(seq_lens, model, flops_per_s, bytes_per_s)
    found["flops"] += 2 * model["num_weights"] * sum(n - 1 for n in seq_lens)
    return {
        **found,
        "intensity": found["flops"] / found["bytes"],
        "seconds": max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s),
    }


def cost_exchanged(model, seq_lens, flops_per_s, bytes_per_s):
    return cost_from(
        seq_lens, model, flops_per_s, bytes_per_s, num_heads=model["num_kv_heads"], num_kv_heads=model["num_heads"]
    )


def cost_small_weights(model, seq_lens, flops_per_s, bytes_per_s):
    """The factor in front of the cache alone."""
    found = cost_right(model, seq_lens)
    found["bytes"] -= model["num_weights"] * (model["itemsize"] - 1)
    return {
        **found,
        "intensity": found["flops"] / found["bytes"],
        "seconds": max(found["flops"] / flops_per_s, found["bytes"] / bytes_per_s),
    }


def cost_each(model, seq_lens, flops_per_s, bytes_per_s):
    found = cost_from(seq_lens, model, flops_per_s, bytes_per_s)
    return {**found, "seconds": found["seconds"] / len(seq_lens)}


def cost_whole(model, seq_lens, flops_per_s, bytes_per_s):
    found = cost_from(seq_lens, model, flops_per_s, bytes_per_s)
    return {**found, "intensity": int(found["intensity"])}


def cost_tuple(model, seq_lens, flops_per_s, bytes_per_s):
    return tuple(cost_from(seq_lens, model, flops_per_s, bytes_per_s).values())


def cost_writes(model, seq_lens, flops_per_s, bytes_per_s):
    model["batch"] = len(seq_lens)
    return cost_from(seq_lens, model, flops_per_s, bytes_per_s)


def cost_misspelt(model, seq_lens, flops_per_s, bytes_per_s):
    return {name.upper(): number for name, number in cost_from(seq_lens, model, flops_per_s, bytes_per_s).items()}


CASES = {
    "09.intensity": [
        ("read again for each sequence", cost_each_reads),
        ("cache is left out", cost_weights_only),
        ("query heads are counted", cost_multi_head),
        ("one operation", cost_macs),
        ("two times are added", cost_in_turn),
        ("as long as the longest", cost_padded),
        ("not in seconds", cost_milliseconds),
        ("printed, not returned", cost_shows),
        ("newest token is left out", cost_before),
        ("newest token is counted twice", cost_after),
        ("once for each layer", cost_every_layer),
        ("like a prefill", cost_no_cache),
        ("are exchanged", cost_exchanged),
        ("not bytes", cost_small_weights),
        ("divided by the number of sequences", cost_each),
        ("rounded", cost_whole),
        ("without their names", cost_tuple),
        ("data are changed", cost_writes),
        ("has another name", cost_misspelt),
    ]
}
