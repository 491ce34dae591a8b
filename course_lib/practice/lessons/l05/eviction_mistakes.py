"""Mistakes that both eviction policies of lesson 05 can have."""

from course_lib.practice.judge.exercise import Mistake

from .eviction_game import Policy

HOLDING = (
    Mistake(
        "a block that another request still holds becomes idle.",
        "Count the holders of each block. It is idle when its last holder has released it.",
        Policy.variant(counts=False),
    ),
    Mistake(
        "a block stays idle while it is in use.",
        "When a request uses a cached block again, remove it from the idle blocks.",
        Policy.variant(leaves=False),
    ),
)
"""Who holds a block, and when it is idle."""

ROOM = (
    Mistake(
        "fewer blocks than needed are returned.",
        "The caller needs n blocks. When fewer are idle, return None and keep them.",
        Policy.variant(short="some"),
    ),
    Mistake(
        "idle blocks are lost when there are too few.",
        "Test first whether n blocks are idle. Remove them after that.",
        Policy.variant(short="lost"),
    ),
    Mistake(
        "an evicted block stays among the idle blocks.",
        "It would be allocated twice. Remove it.",
        Policy.variant(forgets=False),
    ),
    Mistake(
        "an empty list is returned where None must be returned.",
        "`[]` is the right result of `evict(0)`. Return None where fewer blocks are idle than are needed.",
        Policy.variant(short="empty"),
    ),
    Mistake(
        "the caller's list is changed.",
        "The list belongs to the request. `reverse()` and `pop()` write into it; `reversed(block_ids)` does not.",
        is_made_by=lambda answer, found: "changed the caller's list" in str(found.got),
    ),
)
"""What `evict` returns, and what it leaves behind."""
