"""Kernels run interpreted where there is no GPU, and compiled where there is one; what they do not write is NaN."""

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def machine():
    from course_lib.machine.device import inspect_machine

    machine = inspect_machine()
    if machine.triton == "absent":
        if sys.platform == "linux":
            pytest.fail(f"Triton should run here, and does not: {machine.triton_why}")
        pytest.skip("Triton has packages for Linux only")
    return machine


@pytest.fixture
def device(machine):
    return machine.device


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Memory that was never written holds NaN instead of whatever was there."""
    empty = torch.empty

    def full_of_nan(*args, **options):
        fresh = empty(*args, **options)
        return fresh.fill_(math.nan) if fresh.is_floating_point() and fresh.device.type != "meta" else fresh

    monkeypatch.setattr(torch, "empty", full_of_nan)
