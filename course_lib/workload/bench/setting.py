"""Where a run took place: the machine, the versions of what ran, and the state of the checkout."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from course_lib.checkout import find_root
from course_lib.errors import CourseError
from course_lib.machine.device import inspect_machine

PACKAGES = ("llm-inference-course", "torch", "numpy", "triton", "httpx")


def machine_facts():
    """What tells one machine from another. Nothing of it changes between two runs."""
    machine = inspect_machine()
    return {
        "system": machine.system, "processor": processor(), "processors": os.cpu_count(),
        "torch_threads": machine.cpu_threads, "gpu": machine.gpu, "memory_bytes": machine.memory_total,
    }  # fmt: skip


def processor():
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def versions():
    """{"python": ..., package: its version or None}"""
    return {"python": platform.python_version()} | {package: _version(package) for package in PACKAGES}


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_state():
    """{"commit": ..., "changed": whether files differ from it}; None without a checkout or without git."""
    try:
        root = find_root(Path(__file__).parent)
        commit, changed = _git(root, "rev-parse", "HEAD"), _git(root, "status", "--porcelain", "--untracked-files=no")
    except (CourseError, OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changed)}


def _git(root, *words):
    return subprocess.run(
        ["git", *words], cwd=root, capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=True
    ).stdout.strip()
