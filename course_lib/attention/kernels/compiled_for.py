"""Compiles a Triton kernel for chips that are not here: the shared memory it takes and its matrix instructions.
Lesson 07.

Triton brings its compilers along, for NVIDIA and AMD alike, so that no GPU is needed. Where kernels are interpreted
nothing can be compiled in the same process; a child does it.
"""

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import ParameterError
from course_lib.machine.skipped_cells import has_triton, without_triton

NAMES = {
    "sm_75": "T4",
    "sm_80": "A100",
    "sm_89": "L4, RTX 4090",
    "sm_90": "H100, H200",
    "sm_100": "B200",
    "sm_120": "RTX 5090",
    "gfx942": "AMD MI300X",
}
"""The chips that are known here, with GPUs that have them."""
MATRIX = re.compile(r"\b(mma\.sync\S*|wgmma\.mma_async\.sync\S*|tcgen05\.mma\S*|v_mfma_\w+)")


class DoesNotCompile(ParameterError):
    """A kernel that the compiler refuses. line: the line of its source, or ""; words: what the compiler says."""

    def __init__(self, kernel, line, words):
        where = f", in the line `{line}`." if line else ""
        super().__init__(f"`{kernel}` does not compile: {words[:300].rstrip('.')}{where}")
        self.line, self.words = line, words


@dataclass(frozen=True)
class Compiled:
    """What became of a kernel for one chip."""

    chip: str
    code: str
    """The chip's assembly as text: PTX for NVIDIA, GCN for AMD."""
    shared: int
    """Bytes of shared memory that a program takes."""

    @property
    def limit(self):
        """Bytes of shared memory that a program may take on this chip."""
        from course_lib.attention.tiles import (
            SHARED_MEMORY,
        )  # not above: it imports torch, which the child does without

        return SHARED_MEMORY[self.chip]

    @property
    def matrix(self):
        """Counter {matrix instruction: how often it stands in the code}."""
        return Counter(MATRIX.findall(self.code))


def compile_for(kernel, chips, types, constants, *, num_warps=4, num_stages=2, source=None):
    """[Compiled] of a kernel, one for each chip.

    kernel: a function under @triton.jit. chips: names from NAMES. types: {argument: "*fp16", "i32", "fp32", …};
    pointers and what is called `…_stride` are taken to be multiples of 16, as they are in a model. constants:
    {argument: value} of its tl.constexpr. Takes about a second a chip the first time; Triton keeps what it has
    compiled. source: the kernel with the imports, constants and helpers that it uses; None: it uses nothing beside
    `triton` and `tl`. Raises DoesNotCompile, a ParameterError, with the compiler's words, and NotHere without Triton.
    """
    if not has_triton():
        raise without_triton()
    for chip in chips:
        if chip not in NAMES:
            raise ParameterError(f"There is no chip {chip!r} here; there are {', '.join(NAMES)}.")
    function = getattr(kernel, "fn", kernel)
    source = source or "import triton\nimport triton.language as tl\n\n\n" + inspect.getsource(function)
    order = list(inspect.signature(function).parameters)
    if missing := [name for name in order if name not in types and name not in constants]:
        raise ParameterError(
            f"`{function.__name__}` has an argument {missing[0]!r} that is in neither `types` nor `constants`."
        )
    job = {
        "source": source,
        "kernel": function.__name__,
        "chips": list(chips),
        "constants": constants,
        "types": {name: types.get(name, "constexpr") for name in order},
        "options": {"num_warps": num_warps, "num_stages": num_stages},
    }
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    with tempfile.TemporaryDirectory() as folder:  # Triton reads a kernel's source from its file
        Path(folder, "job.json").write_text(json.dumps(job), encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, "-m", __spec__.name, folder],
            capture_output=True,
            env=environment,
            encoding="utf-8",
            errors="replace",
        )
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ParameterError(f"`{function.__name__}` does not compile: {last[:300]}")
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    if "words" in answers[-1]:
        raise DoesNotCompile(function.__name__, **answers[-1])
    return [Compiled(**one) for one in answers]


def main(folder):
    """The child: compiles the job in `folder` and prints a line of JSON for each chip."""
    from importlib.util import module_from_spec, spec_from_file_location

    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile
    from triton.compiler.errors import CompilationError

    job = json.loads(Path(folder, "job.json").read_text(encoding="utf-8"))
    path = Path(folder, "kernel.py")
    path.write_text(job["source"], encoding="utf-8")
    spec = spec_from_file_location("kernel", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    attrs = {
        (i,): [["tt.divisibility", 16]]
        for i, (name, kind) in enumerate(job["types"].items())
        if kind[0] == "*" or name.endswith("_stride")
    }
    for chip in job["chips"]:
        amd = chip.startswith("gfx")
        target = GPUTarget("hip", chip, 64) if amd else GPUTarget("cuda", int(chip.removeprefix("sm_")), 32)
        asked = ASTSource(getattr(module, job["kernel"]), job["types"], job["constants"], attrs)
        try:
            made = compile(asked, target=target, options=job["options"])
        except CompilationError as error:
            print(json.dumps(refusal(error, job["source"])), flush=True)
            return
        print(
            json.dumps({"chip": chip, "code": made.asm["amdgcn" if amd else "ptx"], "shared": made.metadata.shared}),
            flush=True,
        )


def refusal(error, source):
    """{line, words} of a CompilationError: what the compiler says, and the line of `source` at which it stopped."""
    line, words = "", str(error)
    while error is not None:
        if hasattr(error, "node"):
            at, lines = getattr(error.node, "lineno", 0), (error.src or "").splitlines()
            text = lines[at - 1].strip() if 0 < at <= len(lines) else ""
            line = text if text and text in source else line  # not a line of Triton's own functions
            words = error.error_message or words
        elif str(error):
            words = str(error)
        error = error.__cause__
    return {"line": line, "words": words.strip()}


if __name__ == "__main__":
    main(sys.argv[1])
