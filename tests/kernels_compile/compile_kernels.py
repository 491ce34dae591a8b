"""Compiles the attention kernels for chips that are not here, and prints what came out as JSON lines. A child of the
test.

    python tests/kernels_compile/compile_kernels.py [--all] sm_75 sm_90 ...   --all: every dtype and head size, minutes

The launchers run as they are, on tensors without content; only the launch itself is caught, and its kernel compiled
with the types, constants and divisibilities that these arguments have. So tile tables and launch code are what is
compiled.
"""

import json
import re
import sys
from itertools import chain
from types import SimpleNamespace

import torch
import triton  # noqa: F401  before the course: without a GPU it would set TRITON_INTERPRET, and nothing would be compiled
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from triton.runtime.jit import JITFunction

from course_lib.attention import checks
from course_lib.attention.kernels import flash, paged, paged_walk, quantised_decode, store
from course_lib.attention.reference.quantise import STORED_AS
from course_lib.attention.tiles import SHARED_MEMORY, has_matrix_instructions
from course_lib.decoding import choosing_kernel
from course_lib.decoding.choosing import ChoiceRows
from course_lib.engine.gpu import SOME_ROWS_SHARED_MEMORY
from course_lib.models.kernels import norm, products, rotary
from course_lib.parallel import direct

try:
    from triton.experimental.gluon._runtime import GluonASTSource
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

    from course_lib.attention.kernels import hopper
except ImportError:  # another Triton than the kernel in Gluon is written for
    hopper = TensorDescriptor = None

POINTERS = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.int8: "*i8",
    torch.int16: "*i16",
    torch.uint8: "*u8",
}
MATRIX = {"nvidia": r"\b(mma\.sync|wgmma\.mma_async|tcgen05\.mma)", "amd": r"\bv_mfma_"}
launches = []


def catch(kernel, *args, grid, warmup, **options):
    launches.append((kernel, args, options))


def compiled(kernel, args, options, target):
    """What Triton makes of one launch. Follows its rules for arguments: 1 is a constant, divisible by 16 is known."""
    named = dict(zip(kernel.arg_names, args)) | {k: v for k, v in options.items() if k in kernel.arg_names}
    signature, constants, attrs = {}, {}, {}
    for i, parameter in enumerate(kernel.params):
        value, place = named[parameter.name], (i,)
        if parameter.is_constexpr:
            signature[parameter.name], constants[parameter.name] = "constexpr", value
        elif isinstance(value, torch.Tensor):
            signature[parameter.name], attrs[place] = POINTERS[value.dtype], [["tt.divisibility", 16]]
        elif TensorDescriptor and isinstance(value, TensorDescriptor):
            kind = POINTERS[value.base.dtype].removeprefix("*")
            signature[parameter.name] = f"tensordesc<{kind}{list(value.block_shape)},{value.layout!r}>"
        elif isinstance(value, float):
            signature[parameter.name] = "fp32"
        elif value == 1 and not parameter.do_not_specialize:
            signature[parameter.name], constants[parameter.name] = "constexpr", 1
        else:
            signature[parameter.name] = "i32"
            if value % 16 == 0 and not parameter.do_not_specialize:
                attrs[place] = [["tt.divisibility", 16]]
    launch = {k: v for k, v in options.items() if k in ("num_warps", "num_stages")}
    source = GluonASTSource if hopper and kernel is hopper.hopper_kernel else ASTSource
    return compile(source(kernel, signature, constants, attrs), target=target, options=launch)


def cases(chip, everything):
    """(name, call) for one chip, as the tables choose tiles there. Without `everything` what can be compiled within
    a CI run.
    """
    half = [torch.float16] if chip == "sm_75" else [torch.bfloat16]
    half += [torch.float16] if everything or chip == "sm_90" else []
    shapes = [(half[0], head_dim, None, True) for head_dim in (64, 128, 256)] + [(torch.float32, 128, None, True)]
    if everything or chip == "sm_90":
        shapes += [(half[-1], 80, 100, False), (half[-1], 128, 100, True)]
    if everything:
        shapes += [(torch.float32, 64, None, True), (torch.float32, 256, None, True)]
    cu, tables, lens = (
        torch.empty(3, dtype=torch.int32),
        torch.empty(2, 64, dtype=torch.int32),
        torch.empty(2, dtype=torch.int32),
    )
    for dtype, head_dim, window, causal in shapes:
        q, k = torch.empty(4096, 8, head_dim, dtype=dtype), torch.empty(4096, 2, head_dim, dtype=dtype)
        cache = torch.empty(64, 16, 2, head_dim, dtype=dtype)
        label = f"{dtype}, head_dim {head_dim}, {'causal' if causal else 'both ways'}, window {window}"
        common = head_dim == 128 and window is None and dtype == half[0]
        yield f"flash {label}", lambda: flash.flash_attention(q, k, k, cu, causal=causal, window=window)
        if everything or common or window:
            yield (
                f"paged {label}",
                lambda: paged.paged_attention(q, cache, cache, tables, lens, cu, causal=causal, window=window),
            )
        if everything or common or (window and causal):
            yield (
                f"decode {label}",
                lambda: paged.paged_decode(q[:2], cache, cache, tables, lens, splits=2, window=window),
            )
        if common and chip in ("sm_90", "gfx942"):
            yield f"decode in one part {label}", lambda: paged.paged_decode(q[:2], cache, cache, tables, lens, splits=1)
        if chip == "sm_90" and dtype == torch.float32:
            yield (
                f"decode without dot {label}",
                lambda: paged.paged_decode(q[:2], cache, cache, tables, lens, splits=1, dot=False),
            )
        if common:
            yield f"store {label}", lambda: store.store_kv(k, k, cache, cache, torch.empty(len(k), dtype=torch.int64))


def quantised_cases(chip, everything):
    """As cases, for caches of 8 and 4 bits."""
    dtype = torch.float16 if chip == "sm_75" else torch.bfloat16
    tables, lens, cu = (torch.empty(shape, dtype=torch.int32) for shape in ((2, 64), 2, 3))
    for kind, stored in STORED_AS.items():
        for head_dim, window in [(128, None)] + ([(80, 100)] if everything or chip == "sm_90" else []):
            q, k = (torch.empty(4096, heads, head_dim, dtype=dtype) for heads in (8, 2))
            width = head_dim // 2 if kind == "int4" else head_dim
            cache, scale = torch.empty(64, 16, 2, width, dtype=stored), torch.empty(64, 2, 16)
            how, label = dict(k_scale=scale, v_scale=scale), f"{kind} {dtype}, head_dim {head_dim}, window {window}"
            seen = dict(window=window, sinks=4 if window else 0)
            yield (
                f"decode {label}",
                lambda: paged.paged_decode(q[:2], cache, cache, tables, lens, splits=2, **how, **seen),
            )
            if has_matrix_instructions(chip) and (everything or chip == "sm_90" or kind == "int4"):
                yield f"paged {label}", lambda: paged.paged_attention(q, cache, cache, tables, lens, cu, **how, **seen)
            slots = torch.empty(len(k), dtype=torch.int64)
            yield f"store {label}", lambda: store.store_kv(k, k, cache, cache, slots, **how)


def hopper_cases(chip):
    """As cases, for the kernel of attention that only Hopper runs."""
    for dtype in (torch.bfloat16, torch.float16) if hopper and chip == "sm_90" else ():
        for head_dim in (64, 128):
            q, k = torch.empty(4096, 8, head_dim, dtype=dtype), torch.empty(4096, 2, head_dim, dtype=dtype)
            cu = torch.empty(3, dtype=torch.int32)
            yield f"hopper {dtype}, head_dim {head_dim}", lambda: hopper.flash_attention(q, k, k, cu)


def model_cases(chip):
    """As cases, for what stands around attention: the kernels of models/kernels and of choosing tokens."""
    dtypes = [torch.float16 if chip == "sm_75" else torch.bfloat16, torch.float32]
    ints, floats = (lambda n: torch.empty(n, dtype=torch.int64)), (lambda n: torch.empty(n, dtype=torch.float32))
    rows = ChoiceRows(floats(4), ints(4), floats(4), floats(4), ints(4), ints(4))
    for dtype in dtypes:
        make = lambda *shape, dtype=dtype: torch.empty(shape, dtype=dtype)  # noqa: E731
        yield f"norm {dtype}", lambda: norm.add_rms_norm(make(4, 1024), make(4, 1024), make(1024), 1e-6)
        yield f"swiglu {dtype}", lambda: norm.swiglu(make(4, 6144))
        yield f"product {dtype}", lambda: products.few_rows(make(1, 1024), make(4096, 1024), norm=make(1024), eps=1e-6)
        yield f"gated {dtype}", lambda: products.few_rows(make(2, 1024), make(6144, 1024), gated=True)
        yield f"added {dtype}", lambda: products.few_rows(make(4, 3072), make(1024, 3072), residual=make(4, 1024))
        if dtype != torch.float32 and SHARED_MEMORY[chip] >= SOME_ROWS_SHARED_MEMORY:  # as GPURunner takes it
            weight, norms = make(6144, 1024), make(1024)
            yield (
                f"some rows {dtype}",
                lambda: products.some_rows(make(8, 1024), weight, norm=norms, eps=1e-6, gated=True),
            )
            yield (
                f"some added {dtype}",
                lambda: products.some_rows(make(8, 6144), make(1024, 6144), residual=make(8, 1024)),
            )
        yield (
            f"rotation {dtype}",
            lambda: rotary.rotary_store(
                make(4, 4096), ints(4), ints(4), floats(64 * 64).view(64, 64), floats(64 * 64).view(64, 64),
                *(make(4, 16, 8, 128) for _ in "kv"), q_weight=make(128), k_weight=make(128), eps=1e-6,
            ),
        )  # fmt: skip
        yield f"choose {dtype}", lambda: choosing_kernel.choose(make(4, 32000), rows)
        if chip == "sm_90" and dtype != torch.float32:
            rank = SimpleNamespace(rank=0, size=2, places=ints(2), flags_of=ints(2), calls=ints(1024), device="cuda")
            yield f"sum {dtype}", lambda: direct.DirectSum.__call__(rank, make(4, 4096), make(4, 4096))


def main(chips, everything):
    assert isinstance(flash.flash_kernel, JITFunction), "Triton is interpreted here, so nothing would be compiled"
    JITFunction.run = catch
    checks._contents_checked = lambda tensor: False  # the tensors have no content
    for module in (flash, paged, paged_walk, store, hopper):
        if module:
            module.check_kernel_inputs = lambda *_: None
            module.multiprocessors = lambda device: 132
    for chip in chips:
        target = (
            GPUTarget("hip", chip, 64)
            if chip.startswith("gfx")
            else GPUTarget("cuda", int(chip.removeprefix("sm_")), 32)
        )
        flash.chip = paged.chip = lambda device: chip
        has_pdl = chip in ("sm_90", "sm_100", "sm_120")
        for module in (norm, products, rotary, paged, quantised_decode, direct):
            module.pdl = lambda device, has_pdl=has_pdl: {"PDL": has_pdl}
        groups = cases(chip, everything), quantised_cases(chip, everything), hopper_cases(chip), model_cases(chip)
        for name, call in chain(*groups):  # each call at once
            launches.clear()
            call()
            for kernel, args, options in launches:
                told = {
                    "chip": chip,
                    "case": name,
                    "kernel": kernel.__name__,
                    "limit": SHARED_MEMORY[chip],
                    "expects_matrix": "float32" not in name
                    and kernel.__name__.removeprefix("quantised_")
                    in ("flash_kernel", "paged_kernel", "decode_kernel", "hopper_kernel")
                    and has_matrix_instructions(chip),
                }
                try:
                    made = compiled(kernel, args, options, target)
                    code = made.asm["amdgcn" if chip.startswith("gfx") else "ptx"]
                    found = re.findall(MATRIX["amd" if chip.startswith("gfx") else "nvidia"], code)
                    told |= {
                        "shared": made.metadata.shared,
                        "matrix": sorted(set(found)),
                        "dots": made.asm.get("ttir", "").count("tt.dot "),  # Gluon has no ttir
                        "tma": code.count("cp.async.bulk.tensor"),
                    }
                except Exception as error:
                    told["error"] = f"{type(error).__name__}: {str(error)[:300]}"
                print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main([a for a in sys.argv[1:] if a != "--all"], "--all" in sys.argv)
