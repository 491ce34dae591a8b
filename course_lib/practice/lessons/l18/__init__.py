"""Exercises of lesson 18: an engine from its parts, ten questions about other engines, and a policy of one's own."""

from .assemble import ASSEMBLE
from .read_vllm import READ_VLLM
from .your_policy import YOUR_POLICY

EXERCISES = [ASSEMBLE, READ_VLLM, YOUR_POLICY]
