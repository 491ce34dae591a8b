"""KVCacheManager: an operation that fails at any of its calls leaves everything as before."""

import pytest
from ledgers import manager, observed, request, run

from course_lib.errors import ParameterError
from course_lib.kvcache import BlockAllocator, BlockTable


class Injected(Exception):
    pass


def a_manager_with_everything():
    """A manager with shared, hashed, cached and free blocks, and the requests of the operations below."""
    m = manager(num_blocks=12, block_size=2, eviction="priority")
    old = request("old", [7, 7, 7, 8, 9], priority=1)
    run(m, old), m.free(old)
    a = request("a", [1, 2, 3, 4, 5])
    run(m, a)
    b = request("b", [1, 2, 3, 4, 5])
    m.fork(a, b)
    b.token_ids += [6, 7, 8]
    new = request("new", [7, 7, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9], priority=-1)
    return m, a, b, new


OPERATIONS = {
    "append with a copy": lambda m, a, b, new: m.allocate_slots(b, 3),
    "admit with hits, evicting": lambda m, a, b, new: m.allocate_slots(new, 9),
    "admit, but no room": lambda m, a, b, new: m.allocate_slots(request("big", range(30)), 30),
    "fork": lambda m, a, b, new: m.fork(a, request("c", [1, 2, 3, 4, 5])),
    "free": lambda m, a, b, new: m.free(a),
}
# The calls of an operation that can fail. After them there are only plain assignments.
POINTS = [
    ("allocator", "allocate"),
    ("allocator", "fork"),
    ("allocator", "free"),
    ("allocator", "ref_count"),
    ("allocator", "_check_known"),
    ("allocator", "_check_shareable"),
    ("cache", "match"),
    ("cache", "__contains__"),
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("owner, method", POINTS, ids=lambda x: x)
def test_a_failure_at_any_call_leaves_everything_as_before(operation, owner, method, monkeypatch):
    for nth in range(1, 30):
        m, *requests = a_manager_with_everything()
        before, calls = observed(m), 0
        kind = type(getattr(m, owner))
        original = getattr(kind, method)

        def failing(self, *args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == nth:
                raise Injected
            return original(self, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(kind, method, failing)
            try:
                OPERATIONS[operation](m, *requests)
            except Injected:
                pass
            else:
                assert calls < nth
                return
        assert observed(m) == before, f"{method}, call {nth}"
        m.check_integrity()


def test_a_commit_whose_tokens_cannot_be_hashed_leaves_everything_as_before():
    m = manager()
    a = request("a", [1, 2, 3, 4, 5, "six", 7, 8])
    m.allocate_slots(a, 8)
    before = observed(m)
    with pytest.raises(ParameterError, match="token ids"):
        m.commit(a, 8)
    assert observed(m) == before
    with pytest.raises(ParameterError, match="token ids"):
        m.match_prefix(request("b", ["x"] * 9))


@pytest.mark.parametrize("fails", ["raises", "returns None"])
def test_an_allocator_that_fails_while_a_block_is_copied_loses_nothing(fails):
    a = BlockAllocator(4, 4)
    t = BlockTable(a)
    t.append_slots(2)
    t.fork()

    def allocate(n):
        if fails == "raises":
            raise Injected

    a.allocate = allocate
    if fails == "raises":
        with pytest.raises(Injected):
            t.append_slots(1)
    else:
        assert t.append_slots(1) is None
    assert t.block_ids == [0] and t.num_tokens == 2 and a.copies == [] and a.num_free == 3 and a.ref_count(0) == 2
