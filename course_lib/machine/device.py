"""What this machine can do, found out by trying, and what the course will therefore use."""

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch


@dataclass(frozen=True)
class Machine:
    """The facts that decide how a lesson runs. Memory is in bytes; None means "does not apply"."""

    python: str
    system: str
    torch: str
    cpu_threads: int
    device: str  # cuda | cpu: where models and caches live
    gpu: str | None
    capability: tuple[int, int] | None
    multiprocessors: int | None
    shared_memory: int | None  # what one block of threads may have
    dtype: str  # of weights and cache on `device`
    memory_total: int | None  # of the GPU if there is one, else of the machine
    memory_free: int | None
    triton: str  # compiled | interpreted | absent
    triton_version: str | None
    triton_why: str  # the reason, in words

    def as_dict(self):
        return asdict(self)

    def decisions(self):
        """What will be used and why: (what, chosen, reason) rows."""
        on_gpu = self.device == "cuda"
        attention = {
            "compiled": "Triton kernels",
            "interpreted": "torch, and Triton interpreted in its lessons",
            "absent": "torch",
        }[self.triton]
        return [
            (
                "device",
                self.device,
                f"{self.gpu}" if on_gpu else "torch sees no GPU here; every lesson runs on the CPU",
            ),
            ("dtype", self.dtype, _why_dtype(self.device, self.capability)),
            ("attention", attention, self.triton_why),
        ]

    def report(self):
        """The facts and the decisions as plain text."""
        facts = [
            ("Python", f"{self.python} on {self.system}"),
            ("torch", self.torch),
            ("CPU threads", str(self.cpu_threads)),
            ("memory", _memory(self.memory_free, self.memory_total)),
        ]
        if self.gpu:
            facts += [
                ("GPU", self.gpu),
                ("capability", f"{self.capability[0]}.{self.capability[1]}"),
                ("multiprocessors", str(self.multiprocessors)),
                ("shared memory", f"{self.shared_memory:,} bytes a block of threads"),
            ]
        facts.append(("Triton", f"{self.triton}" + (f", {self.triton_version}" if self.triton_version else "")))
        lines = [f"{name:<16}{value}" for name, value in facts]
        lines += ["", "What the course will use"]
        lines += [f"{what:<16}{chosen} ({why})" for what, chosen, why in self.decisions()]
        return "\n".join(lines)

    __str__ = report

    def __repr__(self):
        return self.report()


def setup(*, seed=0, quiet=False):
    """First line of every lesson: seeds torch, looks at the machine, says in one line what will be used.

    Returns the Machine.
    """
    machine = inspect_machine()
    torch.manual_seed(seed)
    if not quiet:
        where = machine.gpu or f"CPU, {machine.cpu_threads} thread{'s' if machine.cpu_threads > 1 else ''}"
        print(f"Running on {where} in {machine.dtype}. Triton: {machine.triton}. More: `course doctor`.")
    return machine


def inspect_machine():
    """Looks at Python, torch, the GPU and Triton. Starts no lesson, downloads nothing."""
    has_gpu = torch.cuda.is_available()
    gpu = torch.cuda.get_device_properties(0) if has_gpu else None
    free, total = torch.cuda.mem_get_info(0) if has_gpu else _machine_memory()
    capability = (gpu.major, gpu.minor) if gpu else None
    state, why = _triton_state(has_gpu)
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        torch=torch.__version__,
        cpu_threads=torch.get_num_threads(),
        device="cuda" if has_gpu else "cpu",
        gpu=gpu.name if gpu else None,
        capability=capability,
        multiprocessors=gpu.multi_processor_count if gpu else None,
        shared_memory=getattr(gpu, "shared_memory_per_block_optin", None) if gpu else None,
        dtype=str(default_dtype("cuda" if has_gpu else "cpu")).removeprefix("torch."),
        memory_total=total,
        memory_free=free,
        triton=state,
        triton_version=_version("triton"),
        triton_why=why,
    )


def default_device():
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_dtype(device):
    """float32 on a CPU; on a GPU bfloat16 where the chip has it (capability 8.0), else float16."""
    if torch.device(device).type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def _why_dtype(device, capability):
    if device == "cpu":
        return "exact, and CPUs gain little from 16 bits; interpreted Triton is wrong in bfloat16"
    if capability >= (8, 0):
        return f"capability {capability[0]}.{capability[1]} has bfloat16 in hardware"
    return f"capability {capability[0]}.{capability[1]} has no bfloat16 in hardware"


def _triton_state(has_gpu):
    """(compiled | interpreted | absent, why). A canary kernel decides: some machines return zeros silently."""
    if find_spec("triton") is None:
        if sys.platform != "linux":
            return (
                "absent",
                f"Triton has no package for {platform.system()}; the torch twin of each kernel runs instead",
            )
        return "absent", "Triton is not installed; `pip install triton` adds it"
    interpret = not has_gpu or os.environ.get("TRITON_INTERPRET") == "1"
    if interpret and "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
        return "absent", (
            "Triton was imported before TRITON_INTERPRET=1 was set and there is no GPU; restart the "
            "kernel and run setup() first"
        )
    if interpret:
        os.environ["TRITON_INTERPRET"] = "1"
    try:
        from .triton_probe import canary

        right = canary("cpu" if interpret else "cuda")
    except Exception as error:  # whatever a driver, compiler or mismatched numpy can raise means the same to a learner
        first_line = (str(error).splitlines() or [""])[0]
        return "absent", f"a test kernel failed with {type(error).__name__}: {first_line[:120]}"
    if not right:
        return "absent", "a test kernel ran and returned wrong numbers, so no kernel here can be trusted"
    if interpret:
        return "interpreted", "no GPU: a test kernel ran right, instruction by instruction" if not has_gpu else (
            "TRITON_INTERPRET=1 is set: a test kernel ran right, instruction by instruction"
        )
    return "compiled", "a test kernel was compiled for this GPU and ran right"


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine_memory():
    """(free, total) bytes of the machine, or (None, None) where the system does not say."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page
    except (AttributeError, OSError, ValueError):
        return None, None


def _memory(free, total):
    if total is None:
        return "unknown on this system"
    return f"{free / 2**30:.1f} GiB free of {total / 2**30:.1f} GiB"
