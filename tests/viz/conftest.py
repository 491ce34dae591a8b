"""Data for the views, and a bare page opened in a real headless Chromium."""

from collections import defaultdict
from itertools import chain
from types import SimpleNamespace

import pytest

from course_lib.viz import bare_page, next_token_probabilities, recomputation_triangle

WORDS = [
    "<bos>",
    " In",
    " a",
    " quiet",
    " harbour",
    " there",
    " lived",
    " an",
    " otter",
    " named",
    " Juniper",
    ".",
    "\n",
]


def words(count):
    return [WORDS[i % len(WORDS)] for i in range(count)]


@pytest.fixture
def naive():
    """Prompt of 5, six steps: 5, 6, 7, 8, 9, 10 tokens computed; the last token chosen is never computed."""
    return recomputation_triangle(words(11), [(0, 5 + i) for i in range(6)], prompt_tokens=5)


@pytest.fixture
def long():
    """300 tokens, 240 steps."""
    return recomputation_triangle(words(300), [(0, 60 + i) for i in range(240)], prompt_tokens=60)


def step_of(position, tokens, **changes):
    candidates = [
        {"token": tokens[position], "p": 0.5, "q": 0.625},
        {"token": " fox", "p": 0.3, "q": 0.375},
        {"token": " the", "p": 0.1, "q": 0.0},
    ]
    return {"position": position, "candidates": candidates, "rest": 0.1, "chosen": tokens[position], **changes}


@pytest.fixture
def make_step():
    """step_of(position, tokens, **changes): one step's dict of `next_token_probabilities`, sound unless changed."""
    return step_of


@pytest.fixture
def chances():
    """Three steps of top-k = 2: two candidates kept, one and all the others cut."""
    tokens = words(8)
    return next_token_probabilities(tokens, [step_of(5 + i, tokens) for i in range(3)])


def table_of(page):
    """The table of the step as it is written: rows of texts. Opens it; what it holds comes a moment after the click."""
    if not page.evaluate("document.querySelector('.cl summary').parentNode.open"):
        page.locator("summary").click()
        page.wait_for_selector(".cl-table td")
    return page.evaluate(
        "[...document.querySelectorAll('.cl-table tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )


@pytest.fixture(scope="session")
def empty_pages(browser):
    """{options of a context: pages that no test uses now}. A page takes Chromium longer to make than to load."""
    kept = defaultdict(list)
    yield kept
    for page in chain(*kept.values()):
        page.context.close()


@pytest.fixture
def open_view(browser, empty_pages, tmp_path):
    """open_view(view, width=800, **context) -> page; at the end: nothing on the console, nothing fetched.

    The document is new, the page may have been another test's. alone=True: it is new too, and no other test's later.
    """
    said, asked, opened = [], [], []
    heard = {
        "console": lambda message: said.append(message.text),
        "pageerror": lambda error: said.append(str(error)),
        "request": lambda request: asked.append(request.url),
    }

    def open_view(view, width=800, *, alone=False, **context):
        file = tmp_path / "view.html"
        file.write_text(bare_page(view), encoding="utf-8")
        pages = [] if alone else empty_pages[tuple(context.items())]
        page = pages.pop() if pages else browser.new_context(**context).new_page()
        opened.append((page, None if alone else pages))
        page.set_default_timeout(600_000)  # milliseconds: a busy machine is no failure
        page.set_viewport_size({"width": width, "height": 900})
        page.mouse.move(0, 0)
        for event, hears in heard.items():
            page.on(event, hears)
        page.goto(file.as_uri())
        page.wait_for_selector(".cl-say")
        page.state = SimpleNamespace(
            step=lambda: page.evaluate("view.model.get('step')"),
            selected=lambda: page.evaluate("view.model.get('selected')"),
            table=lambda: table_of(page),
        )
        return page

    yield open_view
    for page, pages in opened:
        for event, hears in heard.items():
            page.remove_listener(event, hears)
        page.context.close() if pages is None else pages.append(page)
    assert said == []
    assert asked == [(tmp_path / "view.html").as_uri()] * len(opened)


@pytest.fixture
def looks_well():
    """looks_well(page, scheme): the card has the theme's colour, and nothing sticks out of it."""

    def looks_well(page, scheme):
        card = {"light": "rgb(255, 255, 255)", "dark": "rgb(24, 33, 42)"}[scheme]
        assert page.evaluate("getComputedStyle(document.querySelector('.cl')).backgroundColor") == card
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        outside = """() => { const { right } = document.querySelector('.cl').getBoundingClientRect();
            const sticksOut = node => !node.closest('.cl-hidden, .cl-lines, .cl-scroll') && node.checkVisibility()
                && node.getBoundingClientRect().right > right + 1;
            return [...document.querySelectorAll('.cl *')].filter(sticksOut).map(node => node.className); }"""
        assert page.evaluate(outside) == []

    return looks_well


WATCH_NODES = """() => { window.nodesMade = 0; window.nodesWatch = new MutationObserver(found => {
    for (const one of found) window.nodesMade += one.type === 'childList' ? one.addedNodes.length : 1; });
    window.nodesWatch.observe(document.body,
        { childList: true, subtree: true, attributes: true, characterData: true }); }"""

READ_NODES = """() => { for (const one of window.nodesWatch.takeRecords())
    window.nodesMade += one.type === 'childList' ? one.addedNodes.length : 1;
    const made = window.nodesMade; window.nodesMade = 0; return made; }"""


@pytest.fixture
def work_of():
    """work_of(page, changes) -> what the page does for each change, as counts. They do not depend on time or load.

    changes: expressions in JavaScript, each of which makes the view draw. Each count has `blocks`, how often a block
    of the page's JavaScript ran (a function, a turn of a loop, a branch), and `nodes`, how many nodes and attributes
    of the document were made or changed.
    """

    def work_of(page, changes):
        profiler, counts = page.context.new_cdp_session(page), []
        page.evaluate(WATCH_NODES)
        profiler.send("Profiler.enable")
        profiler.send("Profiler.startPreciseCoverage", {"callCount": True, "detailed": True})
        for change in changes:
            profiler.send("Profiler.takePreciseCoverage")  # sets the counts to 0
            page.evaluate(f"{change}; document.body.offsetHeight")
            found = profiler.send("Profiler.takePreciseCoverage")["result"]
            counts.append({"blocks": sum(map(blocks_run, found)), "nodes": page.evaluate(READ_NODES)})
        profiler.send("Profiler.stopPreciseCoverage")
        profiler.detach()
        return counts

    return work_of


def blocks_run(script):
    """How often the blocks of one script ran, by Chromium's coverage. What a test itself evaluates has no address."""
    return sum(part["count"] for function in script["functions"] for part in function["ranges"]) if script["url"] else 0


@pytest.fixture
def work_of_steps(work_of):
    """work_of_steps(page, number=60) -> the counts of `number` steps that are far from each other."""

    def work_of_steps(page, number=60):
        last = page.evaluate("view.model.get('data').last")
        return work_of(page, [f"view.model.set('step', {1 + i * 37 % last})" for i in range(number)])

    return work_of_steps


@pytest.fixture
def little():
    """little(work, typical=…, worst=…): the median and the largest count of blocks are at most that.

    At most `nodes` nodes change. The bounds are about three times what the views took when they were written, and far
    below what a view takes that draws everything in each step, or replays the trace from its beginning.
    """

    def little(work, *, typical, worst, nodes=100):
        blocks = sorted(one["blocks"] for one in work)
        found = {"typical": blocks[len(blocks) // 2], "worst": blocks[-1], "nodes": max(one["nodes"] for one in work)}
        print(found)
        assert 0 < found["typical"] <= typical and found["worst"] <= worst and found["nodes"] <= nodes, found

    return little
