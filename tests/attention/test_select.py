"""Which implementation runs where, and why; and what is refused before anything runs."""

import os
import subprocess
import sys

import pytest
import torch

from course_lib.attention import checks, select
from course_lib.attention.reference import twins
from course_lib.errors import LedgerError, ParameterError

GPU = torch.device("cuda")


@pytest.fixture
def on(monkeypatch):
    """Pretends to be on a chip with a working Triton (or another state of it)."""

    def pretend(chip, state="compiled", why="a test kernel ran right", why_no_gluon="no Gluon in this test"):
        select._choose.cache_clear()
        monkeypatch.setattr(select, "_why_no_gluon", lambda: why_no_gluon)
        monkeypatch.setattr(select, "chip", lambda device: chip)
        monkeypatch.setattr(select, "_triton", lambda: (state, why))

    yield pretend
    select._choose.cache_clear()


def runs(function, dtype=torch.float16, head_dim=128):
    return select.choose(function, device=GPU, dtype=dtype, head_dim=head_dim).runs


def test_a_hopper_runs_every_kernel(on):
    on("sm_90")
    for function in select.KERNELS:
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            assert runs(function, dtype) == "triton"
    assert "tiles of 128 queries by 128 keys on sm_90" in select.explain(device=GPU, dtype=torch.bfloat16)
    assert "float32 is kept exact" in select.explain(device=GPU, dtype=torch.float32)


def test_a_hopper_with_gluon_runs_its_own_kernel_where_that_fits(on):
    on("sm_90", why_no_gluon=None)
    for dtype in (torch.float16, torch.bfloat16):
        assert [runs("flash_attention", dtype, head_dim) for head_dim in (64, 80, 128, 256)] == [
            "gluon", "triton", "gluon", "triton"
        ]  # fmt: skip
    assert runs("flash_attention", torch.float32) == "triton"
    assert [runs(f) for f in ("paged_decode", "paged_attention", "store_kv")] == ["triton"] * 3
    for mask in (dict(window=5), dict(causal=False)):
        assert select.choose("flash_attention", device=GPU, dtype=torch.float16, **mask).runs == "triton"
    assert "flash_attention gluon" in select.explain(device=GPU, dtype=torch.float16)
    on("sm_90", why_no_gluon="this is Triton 3.4")
    choice = select.choose("flash_attention", device=GPU, dtype=torch.float16)
    assert choice.runs == "triton" and choice.why.endswith("not the kernel for sm_90 alone: this is Triton 3.4")
    on("sm_100", why_no_gluon=None)
    assert runs("flash_attention") == "triton"


def test_without_a_compiling_triton_the_kernel_in_gluon_says_why_it_cannot_be_imported():
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    code = (
        "from course_lib.attention import select; why = select._why_no_gluon(); print(why); assert 'Triton' in why\n"
        "try: import course_lib.attention.kernels.hopper\n"
        "except ImportError as error: assert str(error) == why"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "TRITON_INTERPRET": "1"})


def test_a_t4_prefills_through_torch_and_decodes_without_dot(on):
    on("sm_75")
    assert [runs(f) for f in ("flash_attention", "paged_attention")] == ["torch", "torch"]
    assert [runs(f) for f in ("paged_decode", "store_kv")] == ["triton", "triton"]
    told = select.explain(device=GPU, dtype=torch.float16)
    assert "scaled_dot_product_attention is faster" in told and "multiply-and-sum" in told
    assert [runs(f, torch.bfloat16) for f in select.KERNELS] == ["torch"] * 4


def test_what_the_kernels_cannot_do_goes_to_torch_and_says_so(on):
    on("sm_90")
    assert "float64" in select.choose("flash_attention", device=GPU, dtype=torch.float64).why
    assert "320" in select.choose("paged_decode", device=GPU, dtype=torch.float16, head_dim=320).why
    on("sm_90", "absent", "a test kernel ran and returned wrong numbers")
    choice = select.choose("paged_decode", device=GPU, dtype=torch.float16)
    assert choice.runs == "torch" and "wrong numbers" in choice.why
    assert "on a CPU" in select.explain(device="cpu") and len(select.explain(device="cpu").splitlines()) == 4
    with pytest.raises(ParameterError, match="no 'flash' to choose"):
        select.choose("flash")


def test_on_a_cpu_nothing_loads_triton():
    code = (
        "import sys, torch, course_lib.attention as a\n"
        "q = torch.randn(5, 2, 16)\n"
        "a.flash_attention(q, q, q, torch.tensor([0, 5])); a.explain(device='cpu')\n"
        "a.store_kv(q, q, torch.zeros(2, 4, 2, 16), torch.zeros(2, 4, 2, 16), torch.arange(5))\n"
        "print('triton' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "False", ran.stdout + ran.stderr


def test_every_chip_has_tiles():
    from course_lib.attention.tiles import SHARED_MEMORY, decode_tile, flash_tile, nearest

    assert set(SHARED_MEMORY) == {"sm_75", "sm_80", "sm_89", "sm_90", "sm_100", "sm_120", "gfx942"}
    for chip in [*SHARED_MEMORY, "sm_70", "sm_86", "sm_87", "sm_103", "sm_121", "gfx950", "interpreter"]:
        for itemsize in (2, 4):
            for head_dim in (1, 16, 80, 256):
                assert flash_tile(chip, head_dim, itemsize).block_m >= 16
                for group in (1, 7, 64):
                    assert decode_tile(chip, head_dim, itemsize, group).block_m >= group
    assert nearest("sm_86") == "sm_89" and nearest("sm_121") == "sm_120" and nearest("sm_103") == "sm_100"


def test_splits_come_from_shapes_alone():
    from course_lib.attention.tiles import decode_splits

    assert decode_splits(256, 8, 4096, 132) == 1
    assert decode_splits(1, 8, 65536, 132) > 16
    assert decode_splits(1, 8, 60, 132) == 1  # too short to be worth it
    assert decode_splits(64, 8, 4096, 132) == 1  # 512 programs; 132 multiprocessors run 660 at once
    assert decode_splits(41, 8, 4096, 132) == 2  # 656 programs
    assert decode_splits(16, 8, 4096, 132) == 5  # 640 programs
    assert decode_splits(1, 1, 10**7, 132) <= 128


# --- refusals ---


def packed(**change):
    q, k = torch.zeros(6, 4, 16), torch.zeros(6, 2, 16)
    return dict(q=q, k=k, v=k, cu_seqlens=torch.tensor([0, 2, 6])) | change


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(q=torch.zeros(1, 6, 4, 16)), "without a batch dimension"),
        (dict(k=torch.zeros(6, 3, 16), v=torch.zeros(6, 3, 16)), "4 query heads cannot share 3"),
        (dict(k=torch.zeros(6, 2, 8), v=torch.zeros(6, 2, 8)), "must be equal and above 0"),
        (dict(v=torch.zeros(6, 2, 8)), "each key has one value"),
        (dict(k=torch.zeros(5, 2, 16), v=torch.zeros(5, 2, 16)), "every token has a query and a key"),
        (dict(q=torch.zeros(6, 4, 16).half()), "convert them to one dtype"),
        (dict(q=torch.zeros(6, 4, 16, device="meta")), "move them to one device"),
        (dict(cu_seqlens=torch.tensor([0, 2, 5])), "end with the 6 tokens"),
        (dict(cu_seqlens=torch.tensor([0, 7, 6])), "never decrease"),
        (dict(cu_seqlens=torch.tensor([0.0, 6.0])), "int32 or int64"),
        (dict(cu_seqlens=[0, 6]), "is a list"),
        (dict(cu_seqlens=torch.tensor([], dtype=torch.int32)), "is empty"),
        (dict(window=0), "itself included"),
        (dict(window=True), "itself included"),
        (dict(scale=-1.0), "above 0"),
        (dict(scale=float("nan")), "above 0"),
        (dict(scale=True), "above 0"),
        (dict(causal="no"), "causal is 'no'; give True"),
        (dict(causal=None), "causal is None"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_flash_attention_refuses(change, says):
    with pytest.raises(ParameterError, match=says):
        select.flash_attention(**packed(**change))


def paged(**change):
    cache = torch.zeros(4, 8, 2, 16)
    return (
        dict(
            q=torch.zeros(2, 4, 16),
            k_cache=cache,
            v_cache=cache,
            block_tables=torch.tensor([[0, 1], [3, -1]]),
            seq_lens=torch.tensor([9, 8]),
        )
        | change
    )


@pytest.mark.parametrize(
    "change, error, says",
    [
        (
            dict(block_tables=torch.tensor([[0, 4], [3, -1]])),
            LedgerError,
            "Sequence 0 reads block 4 for its tokens from 8 on",
        ),
        (dict(block_tables=torch.tensor([[0, 1], [-1, -1]])), LedgerError, "Sequence 1 reads block -1"),
        (dict(seq_lens=torch.tensor([9, 17])), ParameterError, "has room for 16"),
        (dict(seq_lens=torch.tensor([9, 8, 1])), ParameterError, "each sequence has one of both"),
        (dict(q=torch.zeros(3, 4, 16)), ParameterError, "3 queries came for 2 sequences"),
        (dict(k_cache=torch.zeros(8, 2, 16), v_cache=torch.zeros(8, 2, 16)), ParameterError, "one layer of a KVPool"),
        (dict(block_tables=torch.tensor([0, 1])), ParameterError, "2 dimensions"),
        (dict(seq_lens=torch.tensor([9, -1])), ParameterError, "Sequence 1 has -1 tokens"),
        (dict(k_cache=torch.zeros(4, 8, 2, 20)[..., :16]), ParameterError, "must be contiguous"),
        (dict(v_cache=torch.zeros(4, 2, 8, 16).transpose(1, 2)), ParameterError, "must be contiguous"),
        (dict(k_cache=torch.zeros(8, 8, 2, 16)[::2]), ParameterError, "must be contiguous"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_paged_decode_refuses(change, error, says):
    with pytest.raises(error, match=says):
        select.paged_decode(**paged(**change))


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(cu_seqlens_q=torch.tensor([0, 2])), "one more than there are sequences"),
        (
            dict(cu_seqlens_q=torch.tensor([0, 0, 10]), q=torch.zeros(10, 4, 16)),
            "Sequence 1 has 10 queries, but seq_lens says 8",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_paged_attention_refuses(change, says):
    with pytest.raises(ParameterError, match=says):
        select.paged_attention(**paged(**change))


@pytest.mark.parametrize("splits", [0, -1, 2.0, True])
def test_parts_are_a_number_of_1_or_more(machine, splits):
    from course_lib.attention.kernels import paged as kernels

    with pytest.raises(ParameterError, match="number of parts"):
        kernels.paged_decode(**paged(), splits=splits)


@pytest.mark.parametrize(
    "slots, error, says",
    [
        ([0, 1], ParameterError, "3 tokens came with 2 slots"),
        ([0, -2, 1], LedgerError, "Slot -2 does not exist"),
        ([0, 32, 1], LedgerError, "Slot 32 does not exist; the cache has 0 to 31"),
        ([5, 1, 5], LedgerError, "Two tokens go to one slot"),
    ],
    ids=str,
)
def test_what_store_kv_refuses_and_then_writes_nothing(slots, error, says):
    cache = torch.zeros(4, 8, 2, 16)
    with pytest.raises(error, match=says):
        select.store_kv(torch.ones(3, 2, 16), torch.ones(3, 2, 16), cache, cache, torch.tensor(slots))
    assert not cache.any()
    with pytest.raises(ParameterError, match="v is a list; it must be a tensor"):
        select.store_kv(torch.ones(1, 2, 16), [1.0], cache, cache, torch.tensor([0]))


def test_ids_on_a_gpu_are_checked_in_debug_mode_only():
    there = torch.zeros(3, device="meta")  # stands for a tensor on a GPU
    assert not checks._contents_checked(there) and checks._contents_checked(torch.zeros(3))
    checks.debug()
    assert checks._contents_checked(there)
    checks.debug(False)
    assert not checks._contents_checked(there)


def test_the_kernels_refuse_what_only_the_twins_can(machine):
    from course_lib.attention.kernels import flash

    device = machine.device

    def call(dtype=torch.float32, head_dim=16, **change):
        q = torch.zeros(3, 1, head_dim, dtype=dtype, device=device, **change)
        return flash.flash_attention(q, q, q, torch.tensor([0, 3], device=device))

    for change, says in (
        (dict(dtype=torch.float64), "not torch.float64"),
        (dict(head_dim=257), "up to 256, not 257"),
        (dict(requires_grad=True), "no backward pass"),
    ):
        with pytest.raises(ParameterError, match=says):
            call(**change)
    if machine.triton == "interpreted":
        with pytest.raises(ParameterError, match="computes bfloat16 wrongly"):
            call(dtype=torch.bfloat16)


def test_the_twins_take_any_dtype_and_keep_the_gradient():
    q = torch.randn(4, 2, 300, dtype=torch.float64, requires_grad=True)
    twins.flash_attention(q, q, q, torch.tensor([0, 4])).sum().backward()
    assert q.grad is not None and torch.isfinite(q.grad).all()
