"""Conversations of several turns: each prompt holds all that was said before, the model's own outputs included.

    turn 1    | system | question 1 |                                          -> answer 1
    turn 2    | system | question 1 | answer 1 | question 2 |                  -> answer 2
    turn 3    | system | question 1 | answer 1 | question 2 | answer 2 | ...

So a turn can only come after the one before it has ended, and its beginning can be in the prefix cache.
"""

from dataclasses import dataclass

from .checks import check_number
from .lengths import Uniform


@dataclass(frozen=True)
class Conversations:
    """How many turns a conversation has, and how long its user takes to answer."""

    turns: object = Uniform(1, 6)
    """Fixed, Uniform or LogNormal: requests of one conversation."""
    think_time: float = 0.0
    """Mean seconds from the end of an output to the next turn, drawn from an exponential distribution."""

    def __post_init__(self):
        check_number("think_time", self.think_time, "a mean time in seconds", at_least=0, instead=5.0)


@dataclass
class Conversation:
    """One that is going on: the numbers that it still draws, and how many turns are to come."""

    generator: object
    turns_left: int
    user: int | None = None
    """Of a closed loop: who starts the next one when this one has ended."""
