"""Ctrl-C for the tests of `course bench`."""

import os
import signal
import time

import pytest

from course_lib.workload.bench.watch import Watch


@pytest.fixture
def ctrl_c_after_3(monkeypatch):
    """Ctrl-C is pressed when the third request has ended, and has arrived before the run goes on."""
    ended = Watch.ended

    def third_presses(self, *arguments, **more):
        ended(self, *arguments, **more)
        if self.num_ended == 3:
            os.kill(os.getpid(), signal.SIGINT)
            while not self._asked:  # the main thread takes it, and the run may be in another one
                time.sleep(0.001)

    monkeypatch.setattr(Watch, "ended", third_presses)
