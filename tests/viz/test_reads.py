"""Which program reads which block: words, sums and refusals of a record by hand, and the same in a real browser."""

import copy

import pytest

from course_lib.errors import ParameterError
from course_lib.viz import block_reads_view


def decode(seq, head, part, *reads):
    lanes = [[block, head, 0, end] for block, end in reads]
    return {
        "kind": "decode",
        "program": [head, part, seq],
        "seq": seq,
        "kv_head": head,
        "part": part,
        "reads": lanes,
        "bytes": 8 * sum(end for _, end in reads),
    }


def two_sequences():
    """Blocks of 4: sequence 0 has 10 tokens in 5, 2, 7, sequence 1 has 6 in 5, 3.

    Two KV heads, four query heads, two parts.
    """
    programs = []
    for head in range(2):
        programs += [
            decode(0, head, 0, (5, 4), (2, 4)),
            decode(1, head, 0, (5, 4), (3, 2)),
            decode(0, head, 1, (7, 2)),
            decode(1, head, 1),
        ]
    for head in range(4):
        for seq, parts in ((0, [0, 1]), (1, [0])):
            programs.append(
                {
                    "kind": "merge",
                    "program": [head, seq],
                    "seq": seq,
                    "head": head,
                    "parts": parts,
                    "bytes": 20 * len(parts),
                }
            )
    return {
        "num_blocks": 12,
        "block_size": 4,
        "kv_heads": 2,
        "heads": 4,
        "parts": 2,
        "seq_lens": [10, 6],
        "tables": [[5, 2, 7], [5, 3]],
        "programs": programs,
    }


def many():
    """16 sequences of up to 20 blocks in 256, eight KV heads, without parts."""
    tables = [[(37 * seq + 11 * place) % 256 if place else 0 for place in range(4 + seq)] for seq in range(16)]
    programs = [
        {
            "kind": "decode",
            "program": [head, seq],
            "seq": seq,
            "kv_head": head,
            "part": 0,
            "reads": [[block, head, 0, 16] for block in sorted(set(table))],
            "bytes": 4096,
        }
        for seq, table in enumerate(tables)
        for head in range(8)
    ]
    return {
        "num_blocks": 256,
        "block_size": 16,
        "kv_heads": 8,
        "heads": 32,
        "parts": 1,
        "seq_lens": [16 * len(table) for table in tables],
        "tables": tables,
        "programs": programs,
    }


@pytest.fixture
def two():
    return block_reads_view(**two_sequences())


@pytest.fixture
def large():
    return block_reads_view(**many())


def test_a_step_says_what_its_program_reads_and_what_was_read_before(two):
    assert (
        two.words(1)
        == "Program (0, 0, 0) computes part 0 of R0 for KV head 0 and reads blocks 5, 2: 64 bytes of K and V."
    )
    assert two.words(2) == (
        "Program (0, 0, 1) computes part 0 of R1 for KV head 0 and reads blocks 5, 3: 48 bytes of K and V. "
        "32 of them were read before, by another program."
    )
    assert (
        two.words(4)
        == "Program (0, 1, 1) computes part 1 of R1 for KV head 0, but no token is left for it: it reads nothing."
    )
    assert (
        two.words(9)
        == "Program (0, 0) merges parts 0 and 1 of R0 into query head 0 of the output: 40 bytes of partial results."
    )
    assert (
        two.words(10)
        == "Program (0, 1) merges part 0 alone of R1 into query head 0 of the output: 20 bytes of partial results."
    )


def test_another_head_of_the_same_block_is_not_read_again(two):
    assert two.data["again"] == [0, 32, 0, 0, 0, 32] + [0] * 10


def test_the_table_counts_on(two):
    rows = two.table(9)
    assert list(rows[1].values()) == [2, "(0, 0, 1)", "R1", "KV 0", "0", "5, 3", 48, 112, 32]
    assert list(rows[8].values()) == [9, "(0, 0)", "R0", "Q 0", "merge 0, 1", "", 40, 2 * 128 + 40, 0]


def test_a_program_a_query_head_reads_what_its_neighbour_has_read():
    record = two_sequences()
    record["programs"] = [
        p | {"reads": [[5, p["kv_head"], 0, 4]], "bytes": 32} for p in record["programs"] if p["kind"] == "decode"
    ]
    view = block_reads_view(**record, across="head")
    assert view.words(1) == "Program (0, 0, 0) computes query head 0 of R0 and reads block 5: 32 bytes of K and V."
    assert (
        view.words(7).startswith("Program (1, 1, 0) computes query head 3 of R0")
        and view.data["again"] == [0, 32, 32, 32] * 2
    )
    assert [row["head"] for row in view.table(8)] == ["Q 0", "Q 0", "Q 1", "Q 1", "Q 2", "Q 2", "Q 3", "Q 3"]


def test_a_block_of_nobody_is_shown_where_a_kernel_reads_it():
    record = two_sequences()
    record["programs"][2]["reads"] = [[7, 0, 0, 2], [11, 0, 0, 4]]
    assert "reads blocks 7, 11" in block_reads_view(**record).words(3)


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda r: r.pop("parts"), "has no 'parts'"),
        (lambda r: r.update(programs=[]), "`programs` is empty"),
        (lambda r: r.update(seq_lens=[10]), "2 tables for 1 lengths"),
        (lambda r: r.update(heads=3), "3 query heads for 2 KV heads"),
        (lambda r: r.update(seq_lens=[10, 9]), "Sequence 1 has 9 tokens in 2 blocks of 4; give it 3"),
        (lambda r: r["tables"][0].__setitem__(0, 12), "from 0 to 11"),
        (lambda r: r["programs"][0].update(kind="copy"), "kind 'copy'"),
        (lambda r: r["programs"][0].update(seq=2), "'seq'"),
        (lambda r: r["programs"][0].pop("reads"), "has no 'reads'"),
        (lambda r: r["programs"][0].update(reads=[[5, 0, 3, 5]]), "end of slots 3 to 5"),
        (lambda r: r["programs"][0].update(reads=[[5, 0, 2, 2]]), "end of slots 2 to 2"),
        (lambda r: r["programs"][0].update(reads=[[5, 0, -1, 2]]), "first of slots -1 to 2"),
        (lambda r: r["programs"][0].update(part=2), "'part'"),
        (lambda r: r["programs"][-1].update(head=4), "'head'"),
        (lambda r: r["programs"][-1].update(parts=[2]), "'parts'"),
        (lambda r: r.update(across="token"), "across is 'token'"),
        (lambda r: r.update(across="head", heads=6), "for each of the 3 query heads"),
    ],
    ids=[
        "missing",
        "no programs",
        "tables",
        "heads",
        "length",
        "block",
        "kind",
        "seq",
        "no reads",
        "slots",
        "no slot",
        "before",
        "part",
        "head",
        "parts",
        "across",
        "across heads",
    ],
)
def test_a_record_that_does_not_fit_together_is_refused(spoil, says):
    record = copy.deepcopy(two_sequences())
    spoil(record)
    with pytest.raises(ParameterError, match=says):
        block_reads_view(**record)


@pytest.mark.parametrize("selected", [12, -1, "a", (1, 2)], ids=str)
def test_a_block_that_is_not_there_cannot_be_selected(two, selected):
    with pytest.raises(ParameterError, match="blocks 0 to 11"):
        two.selected = selected


def test_the_picture_and_the_saved_form(two, large):
    data, metadata = two.bundle()
    assert {"image/png", "text/html", "text/plain"} <= set(data) and metadata["image/png"]["alt"].startswith(
        "Which program reads which block, step 6 of 16"
    )
    assert two.snapshot(2).data != two.snapshot(9).data and large.snapshot(30).width == 920


# in the browser


@pytest.mark.parametrize("name", ["two", "large"])
def test_steps_words_and_table_in_the_page(request, name, open_view):
    view = request.getfixturevalue(name)
    page = open_view(view)
    page.get_by_role("button", name="step", exact=True).click()
    assert view.words(2) in page.inner_text(".cl-say").replace("\xa0", " ")
    page.evaluate("view.model.set('step', view.model.get('data').last)")
    cells = page.state.table()
    assert cells == [[str(value) for value in row.values()] for row in view.table(view.last)]


def test_programs_and_blocks_are_chosen_by_keys(two, open_view):
    page = open_view(two, width=1100)
    programs, blocks = page.get_by_role("grid").all()
    programs.focus()
    for key in ("ArrowDown", "ArrowRight"):  # KV head 1 of R0, then its second part
        page.keyboard.press(key)
    assert page.state.step() == 7
    page.keyboard.press("ArrowRight")  # its first query head
    assert page.state.step() == 13 and "query head 2" in page.inner_text(".cl-say")
    page.keyboard.press("ArrowUp")
    assert page.state.step() == 9
    blocks.focus()
    page.keyboard.press("Home")  # the first only begins
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.state.selected() == 5
    told = (
        "Block 5 belongs to R0 (block 0 of its table) and R1 (block 0 of its table). "
        "Read so far by 4 programs: (0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), for KV heads 0 and 1."
    )
    assert (
        page.inner_text(".cl-note")
        == told
        == page.locator(f"[id='{blocks.get_attribute('aria-activedescendant')}']").text_content()
    )
    page.keyboard.press("Escape")
    assert page.state.selected() is None


def test_programs_and_blocks_are_chosen_by_mouse(two, open_view):
    page = open_view(two, width=1100)
    programs, blocks = page.get_by_role("grid").all()
    box = programs.bounding_box()
    page.mouse.click(box["x"] + 84 + 22 + 8, box["y"] + 20 + 8)  # R0, KV head 0, part 1
    assert page.state.step() == 3
    page.mouse.click(box["x"] + 84 + 2 * 22 + 16 + 4, box["y"] + 20 + 8)  # its first output
    assert page.state.step() == 9
    box = blocks.bounding_box()
    page.mouse.click(box["x"] + 20, box["y"] + 20)
    assert (
        page.state.selected() == 0 and page.inner_text(".cl-note") == "Block 0 is in no table, and no program reads it."
    )
    page.mouse.click(box["x"] + 20, box["y"] + 20)
    assert page.state.selected() is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["two", "large"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_follows_the_theme(request, open_view, looks_well, name, scheme, width):
    looks_well(open_view(request.getfixturevalue(name), width=width, color_scheme=scheme), scheme)
