"""What an engine needs of its four parts: an allocator, a cache (attention), a scheduler and a policy.

Each Protocol describes one part by its attributes and methods. The course's own BlockAllocator, PagedCache, Scheduler
and policies have them, and so must a learner's part, except what is marked `optional`.

Each `check_` function looks at one part once, when an engine is made, and returns it. The ParameterError that it raises
says what is missing or wrong, what that member must do, and which lesson describes it.
"""

from typing import Protocol

from course_lib.errors import ParameterError
from course_lib.kvcache.prefix import PrefixCache

from .members import check_members, described, make_part, name_of, optional, problem_with


class AllocatorProtocol(Protocol):
    """The ledger of blocks, made as allocator(num_blocks, block_size). Block ids are the ints 0 to num_blocks - 1."""

    def allocate(self, n=1):
        """a list of n free block ids, each with one reference from now on; None if fewer are free."""

    def fork(self, block_ids):
        """adds one reference to each block."""

    def free(self, block_ids):
        """takes one reference off each block; a block without references is free again."""

    def ref_count(self, block_id):
        """the number of references to the block, 0 if it is free."""

    @property
    def num_free(self):
        """the number of free blocks, an int, read without brackets."""

    @property
    def num_blocks(self):
        """the number of blocks in all, as given to __init__."""

    @property
    def block_size(self):
        """the number of tokens in a block, as given to __init__."""

    @optional
    def check_integrity(self):
        """raises IntegrityError if the allocator's own records contradict each other."""


class PrefixAllocatorProtocol(Protocol):
    """What prefix caching needs besides. BlockAllocator has it, and so have its subclasses."""

    def allocate(self, n=1, *, sharing=()):
        """also adds one reference to each block of `sharing`, so that the n new blocks cannot evict these."""

    def is_hashed(self, block_id):
        """whether the prefix cache can find this block, so that it must not be written."""

    @property
    def cache(self):
        """the PrefixCache over this allocator, which sets it; None before."""

    @property
    def copies(self):
        """a list of (source, destination) block ids, to be copied before the next write."""

    @property
    def trace(self):
        """the Trace that the allocator records into, or None."""


class CacheProtocol(Protocol):
    """Keys and values, and attention over them, made as attention(pool, allocator). `pool` is a PoolProtocol."""

    def begin_step(self, tables, num_new_tokens):
        """prepares the last num_new_tokens[i] tokens of tables[i]: its block_ids, num_tokens and slot(position)."""

    def attend(self, layer, q, k, v):
        """writes k and v to the slots of these tokens; returns the attention output, of the shape of q."""


class PoolProtocol(Protocol):
    """The tensors behind the blocks. An engine makes a KVPool; a cache keeps it, or its own, as `pool`."""

    @property
    def k(self):
        """keys, [num_layers, num_blocks, block_size, num_kv_heads, head_dim]; it tells the device."""

    @property
    def v(self):
        """values, of the shape of k."""

    @property
    def num_blocks(self):
        """the number of blocks."""

    @property
    def block_size(self):
        """the number of tokens in a block."""

    def copy_blocks(self, copies):
        """copies whole blocks in every layer, for copy-on-write; copies: (source, destination) block ids."""

    def save(self, block_ids, num_tokens):
        """copies the first num_tokens tokens of these blocks to CPU memory, for preemption="swap"."""

    def restore(self, saved, start, slots):
        """writes what `save` returned back, from token number `start` on, to these slots."""


class SchedulerProtocol(Protocol):
    """Chooses which requests run in each step, made as scheduler(config, manager, trace=trace)."""

    def add(self, request):
        """the request waits from now on."""

    def schedule(self):
        """the Step that is computed next; its tokens have slots already (manager.allocate_slots)."""

    def update(self, step, tokens):
        """the step was computed and these tokens were chosen; returns (request, new token ids) of each sequence."""

    def undo(self, step):
        """the step was broken off, so its requests wait again and hold no memory."""

    def finish(self, request, reason):
        """takes the request out, whether it runs or waits, and frees its memory."""

    @property
    def running(self):
        """the running requests, {request_id: request}."""

    @property
    def waiting(self):
        """the waiting requests: a policy, or anything else that has a length."""

    def check_integrity(self):
        """raises IntegrityError if the scheduler's own records contradict each other."""


class PolicyProtocol(Protocol):
    """The waiting requests and their order, made as policy(). A subclass of Policy only has to define key(request)."""

    def push(self, request, *, returning=False):
        """the request waits from now on; returning: it was running and was preempted."""

    def peek(self):
        """the request that is next, or None; it stays in the queue."""

    def pop(self):
        """the request that is next, taken out of the queue."""

    def remove(self, request):
        """takes this request out of the queue, because it was aborted."""

    def order(self, running):
        """a list of the running requests in the order in which they are served; the last is preempted first."""

    def outranks(self, waiting, running):
        """whether the waiting request may preempt the running one."""

    def charge(self, request, *, prompt_tokens=0, output_tokens=0):
        """counts so many tokens as service that the request was given."""

    def __len__(self):
        """the number of waiting requests."""


def check_allocator(allocator, num_blocks, block_size, *, prefix_caching=False):
    """The allocator, if it fits an engine with these sizes and no block is in use. It is read, not called."""
    check_members(allocator, "allocator", AllocatorProtocol, "lesson 04")
    name, sizes = name_of(allocator), {}
    for attribute in ("num_free", "num_blocks", "block_size"):
        try:
            sizes[attribute] = value = getattr(allocator, attribute)
        except Exception as error:
            raise ParameterError(
                f"Reading {attribute} of a new {name} raised {type(error).__name__}: {error}. "
                f"{described(AllocatorProtocol, attribute)} See lesson 04."
            ) from error
        if type(value) is not int:
            how = "Write @property above this method." if callable(value) else "Make it an int."
            raise ParameterError(
                f"{name}.{attribute} is {value!r}, and an engine reads a number there, without brackets. {how} "
                f"{described(AllocatorProtocol, attribute)} See lesson 04."
            )
    num_free = sizes.pop("num_free")
    if sizes != dict(num_blocks=num_blocks, block_size=block_size):
        raise ParameterError(
            f"The allocator has {sizes['num_blocks']} blocks of {sizes['block_size']} tokens, the configuration says "
            f"{num_blocks} of {block_size}. Make both with the same two numbers, or pass the class."
        )
    if num_free > num_blocks:
        raise ParameterError(f"{name}.num_free is {num_free}, and it has only {num_blocks} blocks. See lesson 04.")
    if num_free < num_blocks:
        raise ParameterError(
            f"{num_blocks - num_free} blocks of the allocator are in use by another engine or table, or `num_free` "
            f"counts wrongly. Each engine needs a new allocator: pass the class, or a new object."
        )
    if isinstance(getattr(allocator, "cache", None), PrefixCache):
        raise ParameterError(
            "The allocator has a prefix cache already, so its cached blocks are in the pool of another engine. Each "
            "engine needs a new allocator: pass the class, or a new object."
        )
    if prefix_caching and (problem := problem_with(allocator, PrefixAllocatorProtocol)):
        raise ParameterError(
            f"The allocator {name} {problem} Prefix caching needs this. Pass EngineConfig(prefix_caching=False) with "
            f"this allocator, or make it a subclass of BlockAllocator."
        )
    return allocator


def check_cache(cache):
    """The cache, if it fits, and its pool."""
    check_members(cache, "cache", CacheProtocol, "lesson 04")
    pool = getattr(cache, "pool", None)
    if pool is None:
        raise ParameterError(
            f"The cache {name_of(cache)} has no pool. An engine copies blocks there, for copy-on-write and for "
            f'preemption="swap". Keep the KVPool that __init__ gets: self.pool = pool.'
        )
    check_members(pool, "pool", PoolProtocol, "lesson 04")
    return cache


def make_scheduler(scheduler, config, manager, trace):
    """The scheduler of a class, if it fits. A subclass of Scheduler inherits what it does not define itself."""
    made = make_part("scheduler", scheduler, "config, manager, trace=trace", "lesson 10", config, manager, trace=trace)
    return check_members(made, "scheduler", SchedulerProtocol, "lesson 10")


def check_policy(policy):
    """The policy, if it fits and is empty. Its length, peek() and order([]) are tried, as before the first request."""
    check_members(policy, "policy", PolicyProtocol, "lesson 11")
    name = name_of(policy)
    for call, function, expected in (
        ("len(policy)", policy.__len__, 0),
        ("policy.peek()", policy.peek, None),
        ("policy.order([])", lambda: policy.order([]), []),
    ):
        try:
            found = function()
        except Exception as error:
            raise ParameterError(
                f"{call} of a new {name} raised {type(error).__name__}: {error}. Before the first request it must "
                f"return {expected!r}. If {name} has an __init__, let it call super().__init__(). See lesson 11."
            ) from error
        if type(found) is not type(expected) or found != expected:
            raise ParameterError(
                f"{call} of a new {name} returned {found!r}. Before the first request it must return {expected!r}. "
                f"See lesson 11."
            )
    return policy
