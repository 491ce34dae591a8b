"""Wrong answers to 12.spot_the_flaw as people write them; see written_otherwise.py. RIGHT: other right ones."""

FOUND = {
    "A": "closed_loop", "B": "short_run", "C": "few_requests", "D": "unlike_users", "E": "one_batch_size",
    "F": "tpot_definition", "G": "other_prompts",
}  # fmt: skip


def but(**others):
    """The right answer, with other names for some reports."""
    return lambda: {**FOUND, **others}


def more_letters():
    return {**FOUND, "H": "busy_machine"}


def sorted_by_flaw():
    return dict(sorted(FOUND.items(), key=lambda one: one[1]))


def without_g():
    return {letter: name for letter, name in FOUND.items() if letter != "G"}


def small_letters():
    return {letter.lower(): name for letter, name in FOUND.items()}


def keys_are_names():
    return {name: letter for letter, name in FOUND.items()}


def with_spaces():
    return {letter: name.replace("_", " ").capitalize() for letter, name in FOUND.items()}


def all_the_same():
    return dict.fromkeys("ABCDEFG", "few_requests")


def in_a_list():
    return list(FOUND.values())


def prints_it():
    print(FOUND)


def nothing():
    FOUND.copy()


RIGHT = {"12.spot_the_flaw": [but(), more_letters, sorted_by_flaw]}
CASES = {
    "12.spot_the_flaw": [
        ("report A as `short_run`", but(A="short_run", B="closed_loop")),
        ("report A as `few_requests`", but(A="few_requests")),
        (None, but(A="busy_machine")),
        ("report B as `no_warm_up`", but(B="no_warm_up")),
        ("report B as `few_requests`", but(B="few_requests", C="short_run")),
        ("report C as `other_prompts`", but(C="other_prompts")),
        (None, but(C="tpot_definition", F="few_requests")),
        ("report D as `few_requests`", but(D="few_requests", E="unlike_users")),
        ("report E as `closed_loop`", but(E="closed_loop")),
        (None, but(E="tpot_definition")),
        ("report F as `one_batch_size`", but(F="one_batch_size")),
        ("report G as `unlike_users`", but(G="unlike_users")),
        (None, without_g),
        (None, small_letters),
        ("names are the keys", keys_are_names),
        ("not spelled", with_spaces),
        ("one flaw for all", all_the_same),
        ("without their letters", in_a_list),
        (None, but(A=["closed_loop"])),
        ("printed, not returned", prints_it),
        ("nothing is returned", nothing),
    ]
}
