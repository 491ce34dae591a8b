"""The parts of an engine: the course's own fit, and a learner's that do not fit are refused with the next step."""

import inspect

import pytest
from summing import Summing, oracle

from course_lib.decoding import SamplingParams
from course_lib.engine import FCFS, Engine, EngineConfig, Fair, Policy, Priority, Scheduler, protocols
from course_lib.engine.allocators import try_allocator
from course_lib.engine.members import members_of
from course_lib.engine.policies import make_policy
from course_lib.engine.protocols import (
    PolicyProtocol,
    SchedulerProtocol,
    check_allocator,
    check_cache,
    check_policy,
    make_scheduler,
)
from course_lib.errors import IntegrityError, ParameterError
from course_lib.kvcache import BlockAllocator, KVCacheManager, KVPool, PagedCache

MODEL = Summing()
CONFIG = EngineConfig(block_size=4, num_blocks=9)
PARAMS = SamplingParams(max_tokens=7)
PROMPTS = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7], [8]]


def serve(engine):
    """Serves the prompts; the tokens are those of the naive loop."""
    outputs = engine.generate(PROMPTS, PARAMS)
    assert [output.token_ids for output in outputs] == [oracle(MODEL, prompt, PARAMS) for prompt in PROMPTS]
    engine.check_integrity()


def refused(says, **parts):
    config = parts.pop("config", CONFIG)
    with pytest.raises(ParameterError, match=says):
        Engine(MODEL, config, **parts)


def test_the_courses_own_parts_fit():
    for prefix_caching in (False, True):
        allocator = BlockAllocator(4, 2)
        assert check_allocator(allocator, 4, 2, prefix_caching=prefix_caching) is allocator
    try_allocator(allocator)
    pool = KVPool(MODEL.config, 4, 2, MODEL.device, MODEL.dtype)
    assert check_cache(cache := PagedCache(pool, allocator)) is cache
    scheduler = make_scheduler(Scheduler, CONFIG, KVCacheManager(allocator), None)
    assert type(scheduler) is Scheduler and type(scheduler.waiting) is FCFS
    for kind in (FCFS, Priority, Fair):
        assert type(check_policy(kind())) is kind and type(make_policy(kind)) is kind


def test_every_member_of_a_protocol_is_described():
    kinds = [kind for name, kind in vars(protocols).items() if name.endswith("Protocol") and name != "Protocol"]
    assert len(kinds) == 6
    for protocol in kinds:
        assert members_of(protocol) and all(inspect.getdoc(m) for m in [protocol, *members_of(protocol).values()])


# --- attention ---


class Plain:
    """A learner's cache that is not made from PagedCache; it uses one inside."""

    def __init__(self, pool, allocator):
        self.pool, self.allocator, self.inner = pool, allocator, PagedCache(pool, allocator)

    def begin_step(self, tables, num_new_tokens):
        return self.inner.begin_step(tables, num_new_tokens)

    def attend(self, layer, q, k, v):
        return self.inner.attend(layer, q, k, v)


@pytest.mark.parametrize("preemption", ["recompute", "swap"])
def test_a_learners_cache_needs_begin_step_attend_and_pool(preemption):
    config = EngineConfig(block_size=4, num_blocks=4, preemption=preemption)  # too few for all at once
    engine = Engine(MODEL, config, attention=Plain)
    serve(engine)
    assert engine.metrics.num_preemptions > 0

    class Poolless(Plain):
        def __init__(self, pool, allocator):
            super().__init__(pool, allocator)
            del self.pool

    refused("The cache Poolless has no pool.*self.pool = pool", config=config, attention=Poolless)


class NoAttend:
    def __init__(self, pool, allocator):
        self.pool = pool

    begin_step = Plain.begin_step


class Attends(NoAttend):
    def attend(self, layer, q):
        return q


class OwnPool(Plain):
    def __init__(self, pool, allocator):
        super().__init__(pool, allocator)
        self.pool = [pool.k, pool.v]


@pytest.mark.parametrize(
    "attention, says",
    [
        (NoAttend, "The cache NoAttend has no attend. An engine needs `attend.layer, q, k, v.`: writes.*lesson 04"),
        (Attends, "The cache Attends has attend, but it cannot be called: too many positional"),
        (OwnPool, "The pool list has no k, v, num_blocks, .* An engine needs `k`: keys"),
        (type("NoSizes", (), {}), r"An engine makes its attention as NoSizes\(pool, allocator\).*Let its __init__"),
        (lambda q, k_cache: q, "attention function <lambda> cannot be called.*Its arguments are those of paged_att"),
        (5, "attention is 5. Pass a function with the arguments of paged_attention"),
        (PagedCache(KVPool(MODEL.config, 9, 4, MODEL.device, MODEL.dtype)), "attention is PagedCache.*or a class"),
    ],
)
def test_an_attention_that_does_not_fit_is_refused_when_the_engine_is_made(attention, says):
    refused(says, attention=attention)


# --- schedulers ---


def scheduler_of(kind):
    return make_scheduler(kind, CONFIG, KVCacheManager(BlockAllocator(9, 4)), None)


@pytest.mark.parametrize("name", members_of(SchedulerProtocol))
def test_a_scheduler_without_a_member_is_refused_by_name(name):
    class Mine:
        def __init__(self, config, manager, *, trace):
            own = Scheduler(config, manager, trace=trace)
            for member in members_of(SchedulerProtocol):
                if member != name:
                    setattr(self, member, getattr(own, member))

    with pytest.raises(ParameterError, match=rf"The scheduler Mine has no {name}. An engine needs `{name}.*lesson 10"):
        scheduler_of(Mine)


def test_a_scheduler_that_cannot_be_made_or_called_is_refused():
    class NoTrace(Scheduler):
        def __init__(self, config, manager):
            super().__init__(config, manager)

    class NoTokens(Scheduler):
        def update(self, step):
            return super().update(step)

    made = scheduler_of(Scheduler)
    for kind, says in (
        (
            NoTrace,
            r"makes its scheduler as NoTrace\(config, manager, trace=trace\).*unexpected keyword argument 'trace'",
        ),
        (NoTokens, r"has update, but it cannot be called.*An engine calls `update\(step, tokens\)`"),
        (made, "scheduler is .*, which is no class. Pass the class"),
        ("fcfs", "scheduler is 'fcfs', which is no class"),
    ):
        with pytest.raises(ParameterError, match=says):
            scheduler_of(kind)


@pytest.mark.parametrize("returned", [None, [], {"scheduled": []}])
def test_a_scheduler_that_returns_no_step_is_stopped(returned):
    engine = Engine(MODEL, CONFIG, scheduler=type("Mine", (Scheduler,), {"schedule": lambda self: returned}))
    engine.add_request([1, 2, 3], PARAMS)
    with pytest.raises(IntegrityError, match=r"schedule\(\) returned .*must return a Step: step = Step"):
        engine.step()


# --- policies ---


class ShortestFirst(Policy):
    def key(self, request):
        return request.num_prompt_tokens


class FromScratch:
    """A policy that is not made from Policy."""

    def __init__(self):
        self.line = []

    def push(self, request, *, returning=False):
        self.line.append(request)

    def peek(self):
        return self.line[0] if self.line else None

    def pop(self):
        return self.line.pop(0)

    def remove(self, request):
        self.line.remove(request)

    def order(self, running):
        return list(running)

    def outranks(self, waiting, running):
        return False

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        pass

    def __len__(self):
        return len(self.line)


def test_a_learners_policy_fits():
    serve(Engine(MODEL, EngineConfig(block_size=4, num_blocks=9, max_num_seqs=1, policy=ShortestFirst)))
    assert type(make_policy(FromScratch)) is FromScratch


def no_init(self):
    self.mine = 1


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(key=Policy.key), r"The policy Mine has no key\(request\): the number or tuple.*lesson 11"),
        (dict(__init__=no_init), r"len\(policy\) of a new Mine raised AttributeError.*call super\(\).__init__\(\)"),
        (
            dict(__init__=lambda self, weight: None),
            r"makes its policy as Mine\(\).*missing a required argument: 'weight'",
        ),
        (dict(order=lambda self, running: None), r"policy.order\(\[\]\) of a new Mine returned None.*must return \[\]"),
        (dict(order=lambda self, running: (r for r in running)), r"policy.order\(\[\]\) .* returned <generator"),
        (dict(order=lambda self: []), r"order, but it cannot be called.*An engine calls `order\(running\)`: a list"),
        (dict(peek=lambda self: [][0]), r"policy.peek\(\) of a new Mine raised IndexError.*must return None"),
        (dict(push=lambda self, request: None), "push, but it cannot be called.*'returning'"),
        (dict(charge=lambda self, request, tokens=0: None), "charge, but it cannot be called.*'prompt_tokens'"),
        (dict(outranks=True), "outranks, but it cannot be called: it is True"),
        (dict(__len__=lambda self: 3), r"len\(policy\) of a new Mine returned 3"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_when_the_engine_is_made(changes, says):
    kind = type("Mine", (ShortestFirst,), changes)
    refused(says, config=EngineConfig(block_size=4, num_blocks=9, policy=kind))


@pytest.mark.parametrize("name", members_of(PolicyProtocol))
def test_a_policy_without_a_member_is_refused_by_name(name):
    members = {key: value for key, value in vars(FromScratch).items() if key not in (name, "__dict__", "__weakref__")}
    with pytest.raises(ParameterError, match=f"The policy Mine has no {name}. An engine needs `{name}.*lesson 11"):
        make_policy(type("Mine", (), members))


def test_a_policy_object_is_refused_because_each_engine_makes_its_own():
    with pytest.raises(ParameterError, match="the class, not an object"):
        EngineConfig(policy=ShortestFirst())
    with pytest.raises(ParameterError, match="policy is ShortestFirst.*, which is no class. Pass the class"):
        make_policy(ShortestFirst())
