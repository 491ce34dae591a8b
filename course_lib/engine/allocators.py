"""A learner's allocator in an engine: made, checked, tried, and given what the ledger needs besides."""

import inspect
import reprlib  # of a long list it shows only the beginning
from copy import deepcopy

from course_lib.errors import IntegrityError, LedgerError, ParameterError
from course_lib.kvcache import BlockAllocator
from course_lib.trace.records import Trace, Watched

from .members import described, make_part, name_of, refusal
from .protocols import AllocatorProtocol, check_allocator


def make_allocator(allocator, num_blocks, config, trace):
    """A fresh allocator that records into the trace. allocator: a class, an object, or None for the course's own.

    BlockAllocator, and any allocator that is used with prefix caching, records into the trace itself. Every other
    allocator is put into a LearnersAllocator.
    """
    if allocator is None:
        return BlockAllocator(num_blocks, config.block_size, trace=trace)
    made = allocator if is_object(allocator) else call_allocator(allocator, num_blocks, config.block_size)
    own_trace, is_watched = getattr(made, "trace", None), isinstance(made, Watched)
    made = made._allocator if is_watched else made
    check_allocator(made, num_blocks, config.block_size, prefix_caching=config.prefix_caching)
    if type(made) is not BlockAllocator:
        try_allocator(made)
    if isinstance(own_trace, Trace) and len(own_trace) == 1:  # a trace that was begun with this allocator
        if trace is not None and trace is not own_trace:
            raise ParameterError(
                "The allocator records into another Trace than the engine. Pass the engine the same one, "
                "trace=allocator.trace, or make the allocator without a trace."
            )
        trace = own_trace
    has_start = trace is not None and trace is own_trace
    records_itself = type(made) is BlockAllocator or config.prefix_caching or (has_start and not is_watched)
    if not records_itself:
        return LearnersAllocator(made, trace, has_start=has_start)
    made.trace = trace
    if trace is not None and not has_start:
        trace.add("start", num_blocks=num_blocks, block_size=config.block_size)
    return made


def is_object(allocator):
    """Whether this is an allocator itself, and not a class or function that makes one."""
    return not isinstance(allocator, type) and hasattr(allocator, "allocate")


def call_allocator(factory, num_blocks, block_size):
    """factory(num_blocks, block_size), in whichever order its parameters of these names stand."""
    sizes = dict(num_blocks=num_blocks, block_size=block_size)
    try:
        by_name = {*sizes} <= {*inspect.signature(factory).parameters} and not refusal(factory, (), sizes)
    except (TypeError, ValueError):
        by_name = False
    args, kwargs = ((), sizes) if by_name else (tuple(sizes.values()), {})
    return make_part("allocator", factory, "num_blocks, block_size", "lesson 04", *args, **kwargs)


class LearnersAllocator(Watched):
    """A learner's allocator with what the ledger needs besides. An engine always uses it, with and without a trace.

    It holds the `copies` of copy-on-write, records the calls if there is a trace, and has no cached blocks. All other
    attributes are the learner's own.
    """

    def __init__(self, allocator, trace=None, *, has_start=False):
        """has_start: whether the trace has the record `start` of this allocator already."""
        super().__init__(allocator, None if has_start else trace)
        self.trace = trace
        self.num_blocks, self.block_size = allocator.num_blocks, allocator.block_size

    def allocate(self, n=1, *, sharing=()):
        """As the learner's own. Raises IntegrityError for a wrong number of blocks."""
        if sharing:
            raise LedgerError(
                f"{name_of(self._allocator)} keeps no cached blocks, so it cannot share blocks {list(sharing)} as it "
                f"allocates. Use it with EngineConfig(prefix_caching=False)."
            )
        blocks = super().allocate(n)
        if blocks is not None and len(blocks) != n:
            raise IntegrityError(
                f"allocate({n}) of {name_of(self._allocator)} returned {len(blocks)} blocks, {reprlib.repr(blocks)}. "
                f"It must return {n}, or None if fewer are free."
            )
        return blocks

    @property
    def num_free(self):
        return self._allocator.num_free

    def ref_count(self, block_id):
        return self._allocator.ref_count(block_id)

    def is_hashed(self, block_id):
        """False: no block is cached."""
        return False

    def check_integrity(self):
        """As the learner's own, if there is one."""
        check = getattr(self._allocator, "check_integrity", None)
        return check() if check is not None else None

    def __repr__(self):
        return f"{self._allocator!r}"


def try_allocator(allocator):
    """Raises ParameterError for the first wrong answer. The calls go to a copy, so the allocator stays as it is.

    An allocator that cannot be copied (it holds a lock, for example) is not tried.
    """
    try:
        copy = deepcopy(allocator)
    except Exception:
        return
    Trial(copy).run()


class Trial:
    """One block is allocated, shared and freed twice, and more blocks than there are get asked for."""

    def __init__(self, allocator):
        self.allocator, self.name, self.num_blocks = allocator, name_of(allocator), allocator.num_blocks
        self.calls = []

    def run(self):
        got = self.call("allocate", 1)
        if type(got) is not list or len(got) != 1 or type(got[0]) is not int or not 0 <= got[0] < self.num_blocks:
            self.wrong(
                "allocate",
                f"returned {reprlib.repr(got)}",
                f"a list of one block id, an int from 0 to {self.num_blocks - 1}",
            )
        block = got[0]
        self.check_counts(block, 1)
        for method, references in (("fork", 2), ("free", 1), ("free", 0)):
            self.call(method, [block])
            self.check_counts(block, references)
        got = self.call("allocate", self.num_blocks + 1)
        if got is not None:
            self.wrong("allocate", f"returned {reprlib.repr(got)}", "None, because there are not so many blocks")
        self.check_counts(block, 0)

    def check_counts(self, block, references):
        """Raises ParameterError unless this block has so many references and all others are free."""
        got = self.call("ref_count", block, quiet=True)
        if got != references:
            self.wrong("ref_count", f"of block {block} is {got!r}", references)
        num_free = self.num_blocks - (references > 0)
        if self.allocator.num_free != num_free:
            self.wrong("num_free", f"is {self.allocator.num_free!r}", num_free)

    def call(self, method, argument, *, quiet=False):
        """The answer of a method. quiet: the call changes nothing, so it is not named in later messages."""
        call = f"{method}({argument})"
        try:
            got = getattr(self.allocator, method)(argument)
        except Exception as error:
            raise ParameterError(
                f"{call} of a new {self.name} raised {type(error).__name__}: {error}{self.after()}. It must do this: "
                f"{described(AllocatorProtocol, method)} See lesson 04."
            ) from error
        if not quiet:
            self.calls.append(call)
        return got

    def wrong(self, member, found, expected):
        raise ParameterError(
            f"A new {self.name} was tried{self.after()}: {member} {found}, and it must be {expected}. "
            f"{described(AllocatorProtocol, member)} See lesson 04."
        )

    def after(self):
        return f" with {', '.join(self.calls)}" if self.calls else ""
