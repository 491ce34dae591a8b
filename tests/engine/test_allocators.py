"""A learner's allocator in an engine: adapted, tried when the engine is made, and refused with the next step."""

import pytest
from least_allocator import Mine
from summing import Summing, oracle

from course_lib.decoding import SamplingParams
from course_lib.engine import Engine, EngineConfig
from course_lib.engine.allocators import LearnersAllocator
from course_lib.engine.members import members_of
from course_lib.engine.protocols import AllocatorProtocol
from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator
from course_lib.trace.records import Trace

MODEL = Summing()
CONFIG = EngineConfig(block_size=4, num_blocks=9, prefix_caching=False)
PREFIXES = EngineConfig(block_size=4, num_blocks=9)
PARAMS = SamplingParams(max_tokens=7)
PROMPTS = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7], [8]]


def made(config=CONFIG, **parts):
    return Engine(MODEL, config, **parts)


def serve(engine):
    """Serves the prompts and holds the tokens to those of the naive loop; all blocks are free after that."""
    outputs = engine.generate(PROMPTS, PARAMS)
    assert [output.token_ids for output in outputs] == [oracle(MODEL, prompt, PARAMS) for prompt in PROMPTS]
    engine.check_integrity()
    assert engine.allocator.num_free == 9


def refused(match, **parts):
    with pytest.raises(ParameterError, match=match):
        made(**parts)


def like(base, **changes):
    """A class like `base` with some members changed; None removes one."""
    members = {name: member for name, member in vars(base).items() if name not in ("__dict__", "__weakref__")}
    members.update(changes)
    kept = {name: member for name, member in members.items() if member is not None}
    return type(base.__name__, base.__bases__, kept)


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("as_object", [True, False])
def test_a_learners_allocator_is_adapted_with_and_without_a_trace(as_object, trace):
    engine = made(allocator=Mine(9, 4) if as_object else Mine, trace=trace)
    assert type(engine.allocator) is LearnersAllocator and (engine.allocator.trace is not None) == trace
    serve(engine)
    assert engine.allocator.counts == [0] * 9 and not hasattr(engine.allocator, "colour")  # as the learner's own
    if trace:
        rows = engine.trace.rows()
        assert rows[0] == [0, "start", 9, 4] and [row[1] for row in rows].count("start") == 1


def test_trying_an_allocator_leaves_it_as_it_was():
    mine = Mine(9, 4)
    engine = made(allocator=mine)
    assert list(mine.free_ids) == list(range(9)) and mine.counts == [0] * 9
    engine.generate([[1, 2, 3]], SamplingParams(max_tokens=2))
    assert engine.trace.rows()[3][1:] == ["allocate", [0]]


@pytest.mark.parametrize("name", [n for n in members_of(AllocatorProtocol) if n != "check_integrity"])
def test_an_allocator_without_a_member_is_refused_by_name(name):
    kind = like(Mine, **{name: None})
    if name in ("num_blocks", "block_size"):
        kind.__init__ = lambda self, *sizes: (Mine.__init__(self, *sizes), delattr(self, name))[0]
    refused(rf"The allocator Mine has no {name}\. An engine needs `{name}.*See lesson 04", allocator=kind)


def raises(*_):
    raise KeyError("7")


def keeps(self, block_ids):
    pass


@pytest.mark.parametrize(
    "changes, says",
    [
        (dict(num_free=lambda self: 9), "num_free is .* reads a number there, without brackets. Write @property"),
        (dict(num_free=property(lambda self: "9")), "num_free is '9'.*Make it an int"),
        (dict(num_free=property(raises)), "Reading num_free of a new Mine raised KeyError"),
        (dict(num_free=property(lambda self: 5)), "4 blocks of the allocator are in use.*or `num_free` counts wrongly"),
        (dict(num_free=property(lambda self: 12)), "num_free is 12, and it has only 9 blocks"),
        (dict(num_free=property(lambda self: 9)), "tried with allocate.1.: num_free is 9, and it must be 8"),
        (dict(ref_count=[0] * 9), "ref_count, but it cannot be called.*it is .0, .*.*`ref_count.block_id.`"),
        (dict(ref_count=lambda self: 0), "ref_count, but it cannot be called: too many positional arguments"),
        (dict(ref_count=raises), r"ref_count\(0\) of a new Mine raised KeyError.* with allocate\(1\)"),
        (dict(ref_count=lambda self, b: 1), "fork.*: ref_count of block 0 is 1, and it must be 2"),
        (dict(allocate=lambda self: 0), "allocate, but it cannot be called.*An engine calls `allocate.n=1.`"),
        (dict(allocate=lambda self, n=1: 0), "allocate returned 0, and it must be a list of one block id"),
        (dict(allocate=lambda self, n=1: tuple(Mine.allocate(self, n))), r"allocate returned \(0,\)"),
        (dict(allocate=lambda self, n=1: [0.0]), r"allocate returned \[0.0\]"),
        (dict(allocate=lambda self, n=1: [9]), r"allocate returned \[9\].*an int from 0 to 8"),
        (dict(allocate=lambda self, n=1: None), "allocate returned None"),
        (
            dict(allocate=lambda self, n=1: Mine.allocate(self, min(n, 9))),
            "allocate.10.: allocate returned .1, 2, .*must be None, because",
        ),
        (dict(allocate=lambda self, n=1: [self.free_ids.popleft() for _ in range(n)]), "ref_count of block 0 is 0"),
        (dict(allocate=raises), r"allocate\(1\) of a new Mine raised KeyError: '7'.*It must do this: `allocate"),
        (dict(free=keeps), r"free\(\[0\]\): ref_count of block 0 is 2, and it must be 1"),
        (dict(fork=keeps), r"fork\(\[0\]\): ref_count of block 0 is 1, and it must be 2"),
        (dict(fork=lambda self, *, blocks: None), "fork, but it cannot be called"),
        (dict(block_size=property(lambda self: 5, lambda self, value: None)), "9 blocks of 5 tokens, the config"),
    ],
)
def test_a_wrong_member_of_an_allocator_is_found_when_the_engine_is_made(changes, says):
    for trace in (True, False):
        refused(says, allocator=like(Mine, **changes), trace=trace)


def test_an_allocator_class_is_called_with_the_two_sizes_in_either_order_or_by_name():
    class ByName(Mine):
        def __init__(self, *, block_size, num_blocks):
            super().__init__(num_blocks, block_size)

    class Swapped(Mine):
        def __init__(self, block_size, num_blocks):
            super().__init__(num_blocks, block_size)

    for allocator in (ByName, Swapped, lambda n, size: Mine(n, size), Mine):
        serve(made(allocator=allocator))
    refused(
        "cannot be called so: too many positional.*Let its __init__ take", allocator=lambda capacity: Mine(capacity, 4)
    )
    refused("allocator is 5, which is no class", allocator=5)


def test_an_allocator_object_serves_a_second_engine_only_when_no_block_is_in_use():
    mine = Mine(9, 4)
    first = made(allocator=mine)
    first.add_request([1] * 6, PARAMS)
    first.step()
    refused("2 blocks of the allocator are in use by another engine or table.*pass the class", allocator=mine)
    first.abort("0")
    serve(made(allocator=mine))
    for trace in (True, False):
        own = BlockAllocator(9, 4)
        serve(first := made(allocator=own, trace=trace))
        before = first.trace.rows() if trace else None
        serve(second := made(allocator=own, trace=not trace))
        assert before is None or first.trace.rows() == before  # the second engine records into its own trace, if any
        assert trace or second.trace.rows()[0] == [0, "start", 9, 4]
    made(PREFIXES, allocator=own)
    for config in (PREFIXES, CONFIG):
        refused("has a prefix cache already.*pass the class, or a new object", config=config, allocator=own)


@pytest.mark.parametrize("config", [CONFIG, PREFIXES])
@pytest.mark.parametrize("trace", [True, False])
def test_a_subclass_of_the_courses_allocator_may_change_one_method(config, trace):
    class Audited(BlockAllocator):
        calls = 0

        def free(self, block_ids):
            Audited.calls += 1
            super().free(block_ids)

    engine = made(config, allocator=Audited, trace=trace)
    serve(engine)
    assert Audited.calls > 0
    if trace:
        plain = made(config)
        serve(plain)
        assert engine.trace.rows() == plain.trace.rows()


def test_prefix_caching_needs_an_allocator_that_can_share():
    class NoSharing(BlockAllocator):
        def allocate(self, n=1):
            return super().allocate(n)

    serve(made(allocator=NoSharing))
    for kind, says in ((NoSharing, "has allocate, but it cannot"), (Mine, "no is_hashed, cache")):
        refused(
            f"{says}.*Pass EngineConfig.prefix_caching=False.*subclass of BlockAllocator",
            config=PREFIXES,
            allocator=kind,
        )
    adapted = LearnersAllocator(Mine(4, 2))
    with pytest.raises(LedgerError, match="Mine keeps no cached blocks.*prefix_caching=False"):
        adapted.allocate(1, sharing=[0])


def test_a_wrong_number_of_blocks_is_refused_when_it_happens():
    class OneLess(Mine):
        def allocate(self, n=1):
            return super().allocate(n - (n > 1))

    adapted = LearnersAllocator(OneLess(4, 2))
    with pytest.raises(IntegrityError, match=r"allocate\(3\) of OneLess returned 2 blocks, \[0, 1\]. It must return 3"):
        adapted.allocate(3)


def test_an_allocator_that_cannot_be_copied_is_not_tried():
    class Locked(Mine):
        def __deepcopy__(self, memo):
            raise TypeError("cannot copy a lock")

    serve(made(allocator=Locked))


def test_an_allocator_with_a_trace_records_into_that_of_the_engine():
    for build in (lambda t: t.watch(Mine(9, 4)), lambda t: BlockAllocator(9, 4, trace=t)):
        trace = Trace()
        engine = made(allocator=build(trace), trace=trace)
        serve(engine)
        assert [row[1] for row in trace.rows()].count("start") == 1 and engine.allocator.trace is trace
        refused("records into another Trace", allocator=build(Trace()))
        serve(silent := made(allocator=build(trace := Trace()), trace=False))
        assert silent.trace is None and {row[1] for row in trace.rows()} >= {"start", "allocate", "append", "free"}
