"""Exercises of lesson 16: server-sent events, stop strings on a stream, clients that hang up, and who is let in."""

from .admission import ADMISSION
from .cancel import CANCEL
from .sse import SSE
from .stop_and_stream import STOP_AND_STREAM

EXERCISES = [SSE, STOP_AND_STREAM, CANCEL, ADMISSION]
