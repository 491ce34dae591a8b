"""The exercise 15.when_it_pays: the number of drafts with the largest speed-up."""

from course_lib.practice.judge.agreement import EXACT
from course_lib.practice.judge.common_mistakes import RETURNS_NOTHING, as_python, loses_digits, writes_into
from course_lib.practice.judge.exercise import Exercise, Mistake, Property, Trial

from .numbers import written
from .solutions.when_it_pays import best_k
from .when_it_pays_mistakes import MISTAKES


def best_k_by_formula(acceptance, draft_cost, verify_costs):
    """The sum of the powers in closed form, which divides by 0 at 1."""
    found = []
    for k, cost in enumerate(verify_costs):
        tokens = k + 1 if acceptance == 1 else (1 - acceptance ** (k + 1)) / (1 - acceptance)
        found.append(tokens / (k * draft_cost + cost))
    best = max(found)
    k = next(k for k, speedup in enumerate(found) if speedup > best - 1e-12)
    return k, found[k]


def best_k_by_max(acceptance, draft_cost, verify_costs):
    """The largest pair, with fewer drafts larger."""
    pairs = []
    for k in range(len(verify_costs)):
        tokens = sum(acceptance**i for i in range(k + 1))
        pairs.append((tokens / (draft_cost * k + verify_costs[k]), -k))
    speedup, k = max(pairs)
    return (-k, speedup)


def best_k_in_tensors(acceptance, draft_cost, verify_costs):
    """Powers, sums and times as tensors."""
    import torch

    ks = torch.arange(len(verify_costs), dtype=torch.float64)
    tokens = torch.cumsum(torch.pow(torch.tensor(acceptance, dtype=torch.float64), ks), 0)
    speedups = tokens / (ks * draft_cost + torch.tensor(verify_costs, dtype=torch.float64))
    k = int((speedups > speedups.max() - 1e-12).int().argmax())
    return k, float(speedups[k])


def as_pair(got):
    return tuple(as_python(one) for one in got) if isinstance(got, tuple) else as_python(got)


def chosen(acceptance, draft_cost, verify_costs, note=""):
    """The Trial of one call."""
    given = (acceptance, draft_cost, verify_costs)
    return Trial(
        [f"best_k({', '.join(map(repr, given))})"],
        lambda answer: as_pair(answer(acceptance, draft_cost, list(verify_costs))),
        show=written,
        note=note,
        size=len(verify_costs),
        rounding=EXACT,
    )


def untouched(verify_costs):
    def act(answer):
        given = list(verify_costs)
        answer(0.8, 0.1, given)
        return given

    story = [f"verify_costs = {verify_costs}", "best_k(0.8, 0.1, verify_costs)", "verify_costs"]
    return Trial(story, act, note="as before", size=len(verify_costs))


FLAT, RISING, STEEP = [1.0] * 6, [1.0, 1.1, 1.2, 1.35, 1.5, 1.7], [1.0, 1.9, 2.8, 3.7]
UNTOUCHED = [untouched([1.0]), untouched([1.0, 1.5]), untouched(RISING), untouched([1.0] * 20)]

WHEN_IT_PAYS = Exercise(
    id="15.when_it_pays",
    title="How many drafts are worth it",
    name="best_k",
    cases="settings",
    properties=[
        Property(
            "One draft: 1 + a tokens in the time of a draft and a run over two tokens",
            "The second token comes only if the draft is accepted.",
            [
                chosen(0.5, 0.1, [1.0, 1.1], note="1.5 / 1.2"),
                chosen(0.8, 0.25, [1.0, 1.0]),
                chosen(0.6, 0.0, [1.0, 1.2]),
                chosen(0.9, 0.5, [1.0, 1.3]),
            ],
        ),
        Property(
            "k drafts: 1 + a + … + aᵏ tokens, and k runs of the draft",
            "The third token comes only if two drafts in a row are accepted.",
            [
                chosen(0.5, 0.1, [1.0, 1.1, 1.3]),
                chosen(0.9, 0.1, [1.0, 1.05, 1.1]),
                chosen(0.75, 0.05, FLAT),
                chosen(0.9, 0.1, RISING),
                chosen(0.95, 0.02, FLAT),
                chosen(0.6, 0.15, RISING),
            ],
        ),
        Property(
            "If nothing pays, the answer is no drafts and a speed-up of 1",
            "With a full batch a run over more tokens takes longer, and speculation loses.",
            [
                chosen(0.5, 0.1, STEEP, note="plain decoding is faster"),
                chosen(0.2, 0.3, [1.0, 1.1, 1.2]),
                chosen(0.0, 0.1, FLAT),
                chosen(0.9, 0.5, [1.0, 1.5]),
                chosen(0.7, 0.1, [1.0]),
                chosen(0.5, 0.0, [1.0, 1.5001], note="1.5 / 1.5001 is below 1"),
            ],
        ),
        Property(
            "Of equal speed-ups the fewest drafts are taken",
            "More drafts would take memory and work for nothing.",
            [
                chosen(0.5, 0.25, [1.0, 1.25], note="1.5 / 1.5 is 1: no gain"),
                chosen(0.0, 0.0, [1.0, 1.0, 1.0]),
                chosen(0.5, 0.0, [1.0, 0.75, 0.875], note="2 with one draft and with two"),
                chosen(1.0, 0.5, [1.0, 0.5, 0.5], note="2 with one draft and with two"),
            ],
        ),
        Property(
            "An acceptance of 1 brings k + 1 tokens, one of 0 brings 1",
            "Both ends of a are possible.",
            [
                chosen(1.0, 0.1, [1.0, 1.0, 1.0, 1.0]),
                chosen(1, 0.25, [1.0, 1.5, 1.25]),
                chosen(0, 0.1, [1.0, 0.5], note="a run over two tokens may be faster"),
                chosen(1.0, 0.0, RISING),
            ],
        ),
        Property(
            "The best number of drafts may come after a worse one",
            "Costs are measured, and jump where a larger tile begins: try every k.",
            [
                chosen(0.9, 0.05, [1.0, 1.9, 1.9, 1.9, 1.9], note="one draft loses, four win"),
                chosen(0.8, 0.0, [1.0, 1.8, 2.0, 2.0, 2.0]),
                chosen(0.95, 0.1, [1.0, 1.2, 2.4, 2.4, 2.4, 2.4, 2.4]),
            ],
        ),
        Property(
            "A larger speed-up is larger, by however little",
            "The numbers are compared as they are.",
            [
                chosen(0.5, 0.0, [1.0, 1.4999], note="1.5 / 1.4999 is above 1"),
                chosen(0.5, 0.0, [1.0, 1.4999999985], note="above 1 by 1 part in a billion"),
                chosen(0.5, 0.0, [1.0, 1.25, 1.4583], note="1.2 and a little more"),
                chosen(1.0, 0.25, [1.0, 1.7499]),
                chosen(0.8, 0.1, [1.0, 1.2, 1.5622]),
            ],
        ),
        Property("The caller's list is not changed", "It was measured once, for all calls.", UNTOUCHED),
    ],
    mistakes=[
        *RETURNS_NOTHING,
        Mistake(
            "the caller's list is changed.",
            "`verify_costs` belongs to the caller. Use variables of your own.",
            is_made_by=writes_into(UNTOUCHED),
        ),
        *MISTAKES,
        loses_digits(best_k),
    ],
    hints=[
        "Try every k from 0 to `len(verify_costs) - 1`, and keep the best so far.",
        "`tokens = sum(acceptance**i for i in range(k + 1))`. The formula (1 - aᵏ⁺¹) / (1 - a) divides by 0 for a = 1.",
        "`speedup = tokens / (k * draft_cost + verify_costs[k])`. Replace the best only if the new one is larger: so "
        "fewer drafts stay where both are equal.",
    ],
    rights=[best_k, best_k_by_max, best_k_by_formula, best_k_in_tensors],
    why="Acceptance is not the same at every place of a real text, and a batch has many sequences. The lesson measures "
    "both; the formula is a first guess, and a good one.",
)
