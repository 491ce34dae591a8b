"""What this machine can do, and what the course will therefore use. Triton is tried, not asked for its version."""

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch

from .skipped_cells import skip_what_is_not_here, system_name


@dataclass(frozen=True)
class Machine:
    """The facts that decide how a lesson runs. Memory is in bytes. None: does not apply, or is not known."""

    python: str
    system: str
    torch: str
    cpu_threads: int
    device: str  # cuda | cpu: where models and caches live
    gpu: str | None
    capability: tuple[int, int] | None
    multiprocessors: int | None
    shared_memory: int | None  # the most that one thread block can use
    dtype: str  # of weights and cache on `device`
    memory_total: int | None  # of the GPU if there is one, else of the machine
    memory_free: int | None
    triton: str  # compiled | interpreted | absent
    triton_version: str | None
    triton_why: str  # the reason, in words

    def as_dict(self):
        return asdict(self)

    def decisions(self):
        """Rows of (what, what is used, why)."""
        on_gpu = self.device == "cuda"
        attention = {
            "compiled": "Triton kernels",
            "interpreted": "torch, and Triton interpreted in its lessons",
            "absent": "torch",
        }[self.triton]
        return [
            ("device", self.device, self.gpu if on_gpu else "torch sees no GPU here; every lesson runs on the CPU"),
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
            ]
            if self.shared_memory:
                facts.append(("shared memory", f"{self.shared_memory:,} bytes per thread block"))
        facts.append(("Triton", self.triton + (f", {self.triton_version}" if self.triton_version else "")))
        lines = [f"{name:<16}{value}" for name, value in facts]
        lines += ["", "What the course will use"]
        lines += [f"{what:<16}{chosen} ({why})" for what, chosen, why in self.decisions()]
        return "\n".join(lines)

    __str__ = report

    def __repr__(self):
        return self.report()


def setup(*, seed=0, quiet=False):
    """The first call of every lesson: seeds torch, inspects the machine, prints in one line what will be used.

    seed: of torch's random numbers. quiet: print nothing. Returns the Machine.
    """
    machine = inspect_machine()
    torch.manual_seed(seed)
    if machine.triton == "absent" or sys.platform == "win32":
        skip_what_is_not_here()
    if not quiet:
        where = machine.gpu or f"CPU, {machine.cpu_threads} thread{'s' if machine.cpu_threads > 1 else ''}"
        print(f"Running on {where} in {machine.dtype}. Triton: {machine.triton}. More: `course doctor`.")
    return machine


def inspect_machine():
    """The Machine: Python, torch, the GPU and Triton as they are here. Downloads nothing."""
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
    """float32 on a CPU; on a GPU bfloat16 from compute capability 8.0 on, else float16."""
    if torch.device(device).type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def _why_dtype(device, capability):
    if device == "cpu":
        return "16 bits gain little speed on a CPU, and interpreted Triton computes bfloat16 wrongly"
    if capability >= (8, 0):
        return f"capability {capability[0]}.{capability[1]} has bfloat16 in hardware"
    return f"capability {capability[0]}.{capability[1]} has no bfloat16 in hardware"


def _triton_state(has_gpu):
    """(compiled | interpreted | absent, why). A test kernel decides, because some machines silently return zeros."""
    if find_spec("triton") is None:
        if sys.platform != "linux":
            return ("absent", f"Triton has no package for {system_name()}; the torch twin of each kernel runs instead")
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
    except Exception as error:  # drivers, compilers and mismatched NumPy versions raise errors of many types
        first_line = (str(error).splitlines() or [""])[0]
        return "absent", f"a test kernel failed with {type(error).__name__}: {first_line[:120]}"
    if not right:
        return "absent", "a test kernel ran and returned wrong numbers, so no kernel here can be trusted"
    if interpret:
        why = "TRITON_INTERPRET=1 is set" if has_gpu else "no GPU"
        return "interpreted", f"{why}: a test kernel gave the right result in the interpreter"
    return "compiled", "a test kernel was compiled for this GPU and gave the right result"


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
