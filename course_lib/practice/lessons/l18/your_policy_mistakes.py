"""Known mistakes of 18.your_policy: what a policy does with a few requests tells which it is."""

from course_lib.engine import Policy
from course_lib.practice.judge.exercise import Mistake
from course_lib.practice.judge.running import Raised

from .policy_probe import order_of, overtakers, requests
from .your_policy_right import AtMostFourOvertake, work

NEVER = 300


def ordered_by(*keys):
    """is_made_by: whether the policy lets eight requests go in the order of one of these keys."""

    def made(answer, found):
        if isinstance(found.outcome, Raised) or isinstance(found.outcome, tuple):
            return False
        for key in keys:
            for seed in (31, 32):
                given = requests(8, seed)
                if order_of(answer, given) != sorted(given, key=key):
                    break
            else:
                return True
        return False

    return made


def never_stops(answer, found):
    return type(found.outcome).__name__ == "Starves" and overtakers(answer, NEVER) == NEVER


def raises(*words):
    return lambda answer, found: (
        isinstance(found.outcome, Raised)
        and any(word in f"{found.outcome.kind}: {found.outcome.message}" for word in words)
    )


class PeekTakes(AtMostFourOvertake):
    def peek(self):
        return self.pop() if self.waiting else None

    def pop(self):
        request = min(self.waiting, key=work)
        self.waiting.remove(request)
        return request


class PopsAnother(AtMostFourOvertake):
    def pop(self):
        return self.waiting.pop(0)


class RemovesFirst(AtMostFourOvertake):
    def remove(self, request):
        self.waiting.pop(0)


class DropsReturning(AtMostFourOvertake):
    def push(self, request, *, returning=False):
        if not returning:
            super().push(request)


class PushesTwice(AtMostFourOvertake):
    def push(self, request, *, returning=False):
        super().push(request)
        super().push(request)


class OneForAll(AtMostFourOvertake):
    """The list is the class's, so all policies share it."""

    everyone = []

    def __init__(self):
        super().__init__()
        self.waiting = self.everyone


class NoInit(Policy):
    """Without super().__init__(), the queue of Policy is never made."""

    def __init__(self):
        self.weight = 0.005

    def key(self, request):
        return request.arrival + self.weight * work(request)


class Arrives(Policy):
    def key(self, request):
        return request.arrival


MISTAKES = [
    Mistake(
        "the queue of Policy was never made.",
        "An `__init__` of your own begins with `super().__init__()`, or the class defines all five methods of the "
        "queue.",
        is_made_by=raises("has no attribute '_queue'"),
    ),
    Mistake(
        "a new policy holds the requests of another.",
        "Make the list in `__init__`: one that is made in the class belongs to all.",
        is_made_by=lambda answer, found: shares(answer),
    ),
    Mistake(
        "`peek` takes the request out.",
        "It only says which is next. `pop` and `remove` take requests out.",
        is_made_by=lambda answer, found: loses(answer, lambda policy, given: policy.peek()),
    ),
    Mistake(
        "`pop` takes another request than `peek` returned.",
        "The engine has checked that the one from `peek` fits. `pop` takes this one: `request = self.peek()`.",
        is_made_by=raises("and pop() took"),
    ),
    Mistake(
        "`push` puts a request in twice.",
        "After one `push` the length rises by 1.",
        is_made_by=lambda answer, found: grows(answer) == 2,
    ),
    Mistake(
        "`remove` takes another request out.",
        "The request that is named goes: `self.waiting.remove(request)`.",
        is_made_by=lambda answer, found: removes_another(answer),
    ),
    Mistake(
        "a preempted request is not taken back.",
        "`push(request, returning=True)` means that it waits again, like any other.",
        is_made_by=lambda answer, found: drops_returning(answer),
    ),
    Mistake(
        "`key` needs what no request has.",
        "A request tells `arrival`, `num_prompt_tokens`, `params.max_tokens`, `client`, `priority` and `number`.",
        is_made_by=raises("AttributeError: 'Request' object", "AttributeError: 'SimulatedRequest' object"),
    ),
    Mistake(
        "this is first come, first served.",
        "Nothing passes anything, so nothing is gained. Let requests with little work pass those with much.",
        is_made_by=ordered_by(lambda r: r.number, lambda r: (r.priority, r.arrival, r.number)),
    ),
    Mistake(
        "the last request to arrive goes first.",
        "While requests keep arriving, the first ones wait without end.",
        is_made_by=ordered_by(lambda r: -r.number),
    ),
    Mistake(
        "requests with the most work go first.",
        "Then many wait for few. The other way round helps the mean: the smallest key goes first.",
        is_made_by=ordered_by(
            lambda r: -work(r),
            lambda r: -r.params.max_tokens,
            lambda r: -r.num_prompt_tokens,
            lambda r: -(r.num_prompt_tokens + r.params.max_tokens),
        ),
    ),
    Mistake(
        "short requests pass a long one for as long as they come.",
        "Waiting must count: add `request.arrival` to the key, or count how many have passed the oldest request.",
        is_made_by=never_stops,
    ),
    Mistake(
        "waiting hardly counts.",
        "A long request is passed by very many. Give the work a smaller weight, or let fewer pass.",
        is_made_by=lambda answer, found: (
            type(found.outcome).__name__ == "Starves" and 5 < overtakers(answer, NEVER) < NEVER
        ),
    ),
    Mistake(
        "hardly any request passes another.",
        "Give the work a larger weight: requests that arrive within `weight * work` seconds after a long one may pass.",
        is_made_by=lambda answer, found: type(found.outcome).__name__ == "Gains" and overtakers(answer, NEVER) <= 3,
    ),
]


def filled(answer, count=4):
    made, given = answer(), requests(count, 41)
    for request in given:
        made.push(request)
    return made, given


def shares(answer):
    made, _ = filled(answer)
    return len(answer()) == len(made) > 0


def loses(answer, act):
    made, given = filled(answer)
    before = len(made)
    act(made, given)
    return len(made) < before


def grows(answer):
    made = answer()
    before = len(made)
    made.push(requests(1, 42)[0])
    return len(made) - before


def removes_another(answer):
    made, given = filled(answer)
    made.remove(given[-1])
    left = {made.pop().request_id for _ in range(len(made))}
    return left != {request.request_id for request in given[:-1]}


def drops_returning(answer):
    made, _ = filled(answer)
    request, before = made.pop(), len(made)
    made.push(request, returning=True)
    return len(made) == before
