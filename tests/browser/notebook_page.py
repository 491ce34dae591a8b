"""An open notebook in JupyterLab, and a view in it."""

import time

from lab import CELLS_SECONDS

CELLS = """() => window.coursePanel.content.model.sharedModel.cells.map((cell, index) => ({
  index, id: cell.id, type: cell.cell_type, source: cell.source, count: cell.execution_count ?? null,
  tags: cell.getMetadata('tags') || [], exercise: (cell.getMetadata('course') || {}).exercise || null,
  outputs: cell.cell_type === 'code' ? cell.outputs : [],
}))"""

OUTPUTS = """index => {
  const cell = window.coursePanel.content.model.sharedModel.cells[index];
  return cell.cell_type === 'code' ? cell.outputs : [];
}"""

RUN_ONE = """async index => {
  const content = window.coursePanel.content;
  content.deselectAll(); content.activeCellIndex = index;
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""

# A kernel that dies and comes back may be idle again before anybody looks.
KERNEL = """() => {
  const kernel = window.coursePanel.sessionContext.session.kernel;
  const watched = window.courseKernel = {stopped: null};  // an earlier notebook's kernel may still be ending
  kernel.statusChanged.connect((_, status) => {
    if (['dead', 'restarting', 'autorestarting'].includes(status)) watched.stopped = status;
  });
  return kernel.id;
}"""

# The page looks by itself: to ask it from Python every 50 ms takes all of its processes, for minutes in all.
CALM = """async ([id, seconds]) => {
  const end = performance.now() + 1000 * seconds;
  for (let calm = 0; ; await new Promise(done => setTimeout(done, 50))) {
    const kernel = window.coursePanel.sessionContext.session.kernel;
    const state = {status: kernel.status, id: kernel.id, running: window.coursePanel.content.widgets
      .filter(cell => cell.model.type === 'code' && cell.prompt === '*').length};
    const stopped = window.courseKernel.stopped || state.id !== id;
    calm = state.status === 'idle' && state.running === 0 ? calm + 1 : 0;
    const late = performance.now() > end;
    if (stopped || late || calm === 3) return {...state, stopped, late};  // between two cells it is idle for a moment
  }
}"""


# The name comes first, the colours later. A layout colour is white or grey: its first digit says how bright it is.
THEME_IS = """light => {
  const colour = getComputedStyle(document.body).getPropertyValue('--jp-layout-color1').trim();
  const bright = colour === 'white' || parseInt(colour.replace('#', '')[0], 16) > 7;
  return document.body.dataset.jpThemeLight === String(light) && bright === light;
}"""


class NotebookPage:
    """What a reader can do with a notebook. `page` is the Playwright page, for all else."""

    def __init__(self, page):
        self.page = page
        self.kernel = page.evaluate(KERNEL)

    def cells(self):
        """The cells as dicts: index, id, type, source, count, tags, exercise, outputs."""
        return self.page.evaluate(CELLS)

    def outputs(self):
        """{cell id: the outputs that a code cell shows now}."""
        return {cell["id"]: cell["outputs"] for cell in self.cells()}

    def run_all(self):
        """Runs every cell and waits for the end. Raises AssertionError for a cell that fails unannounced."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.wait_until_idle()
        self.expect_no_errors()
        not_run = [
            c["index"] for c in self.cells() if c["type"] == "code" and c["source"].strip() and c["count"] is None
        ]
        if not_run:
            raise AssertionError(f"cells {not_run} were not run")

    def run_cell(self, index):
        """Runs one cell, waits, and returns its outputs."""
        self.page.evaluate(RUN_ONE, index)
        self.wait_until_idle()
        return self.page.evaluate(OUTPUTS, index)

    def prints_in_the_end(self, index, wanted):
        """Runs a cell until it prints `wanted`; returns what it printed last.

        A widget sends its newest state once the kernel has taken the one before.
        """
        self.eventually(lambda: self.run_cell(index)[0]["text"] == wanted)
        return self.cells()[index]["outputs"][0]["text"]

    def eventually(self, holds):
        """Waits until holds() is true, however busy the machine is; gives up after CELLS_SECONDS. Whether it holds."""
        end = time.monotonic() + CELLS_SECONDS
        while not (held := holds()) and time.monotonic() < end:
            self.page.wait_for_timeout(100)
        return held

    def write_cell(self, index, source):
        """Replaces the text of a cell, as a learner who types would."""
        self.page.evaluate(
            "([i, text]) => { window.coursePanel.content.model.sharedModel.cells[i].source = text; }", [index, source]
        )

    def wait_until_idle(self):
        """Waits until no cell runs and the same kernel is idle."""
        state = self.page.evaluate(CALM, [self.kernel, CELLS_SECONDS])
        if state["stopped"]:
            raise AssertionError(f"the kernel stopped: {state}")
        if state["late"]:
            raise AssertionError(f"still running after {CELLS_SECONDS} s: {state}")

    def expect_no_errors(self):
        """Raises AssertionError when a cell ends in an error that its tags do not announce."""
        for cell in self.cells():
            for output in cell["outputs"]:
                if output["output_type"] == "error" and "raises-exception" not in cell["tags"]:
                    raise AssertionError(
                        f"cell {cell['index']} ends in {output['ename']}: {output['evalue']}\n{cell['source']}"
                    )

    def output(self, index):
        """The output area of a cell, as a Playwright locator."""
        return (
            self.page.locator(".jp-Notebook > .jp-WindowedPanel-outer .jp-Cell, .jp-Notebook .jp-Cell")
            .nth(index)
            .locator(".jp-OutputArea")
        )

    def views(self):
        """All views in the notebook, top to bottom."""
        found = self.page.locator(".jp-OutputArea section.cl[aria-label]:has(input.cl-scrub)")
        found.first.wait_for()
        return [View(self.page, found.nth(i)) for i in range(found.count())]

    def set_theme(self, theme):
        """Changes JupyterLab's theme and waits until its colours are there; views may draw a little later."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        # Not in every frame, as is usual: whoever reads a colour has all styles worked out anew.
        self.page.wait_for_function(THEME_IS, arg="Light" in theme, polling=100)


class View:
    """One view: a step, a player and a body."""

    def __init__(self, page, root):
        self.page, self.root = page, root
        self.scrub = root.locator("input.cl-scrub")
        self.title = root.get_attribute("aria-label")

    @property
    def step(self):
        return int(self.scrub.input_value())

    @property
    def first(self):
        return int(self.scrub.get_attribute("min"))

    @property
    def last(self):
        return int(self.scrub.get_attribute("max"))

    def press(self, key):
        """Presses a key with the view in focus."""
        self.root.focus()
        self.page.keyboard.press(key)

    def click(self, button):
        """Clicks a button of the player by its label: "step", "step back", "first step", "last step", "play"."""
        self.root.get_by_role("button", name=button, exact=True).click()

    def drag_to(self, step):
        """Moves the scrubber to `step`."""
        self.scrub.fill(str(step))

    def background(self):
        """The (red, green, blue) that lies behind the view's words."""
        return self.root.evaluate("""node => {
          for (let at = node.querySelector('.cl-inner') || node; at; at = at.parentElement) {
            const rgba = getComputedStyle(at).backgroundColor.match(/[\\d.]+/g).map(Number);
            if (rgba.length < 4 || rgba[3] > 0) return rgba.slice(0, 3);
          }
        }""")

    def ink(self):
        """The (red, green, blue) of the title."""
        return self.root.locator(".cl-title").first.evaluate(
            "node => getComputedStyle(node).color.match(/[\\d.]+/g).slice(0, 3).map(Number)"
        )

    def picture(self):
        """The view as it is painted now, PNG bytes."""
        return self.root.screenshot()

    def works(self):
        """Moves by keys, buttons and scrubber, and raises AssertionError where the step is not the one that was
        asked for.
        """
        middle = (self.first + self.last) // 2
        for act, argument, wanted in [
            (self.press, "Home", self.first),
            (self.press, "ArrowRight", self.first + 1),
            (self.press, "ArrowLeft", self.first),
            (self.press, "End", self.last),
            (self.click, "first step", self.first),
            (self.click, "step", self.first + 1),
            (self.click, "step back", self.first),
            (self.click, "last step", self.last),
            (self.drag_to, middle, middle),
        ]:
            act(argument)
            if self.step != wanted:
                raise AssertionError(
                    f"{self.title}: after {act.__name__}({argument!r}) at step {self.step}, not {wanted}"
                )
        self.press("Home")
        start = self.picture()
        self.press("End")
        if self.picture() == start:
            raise AssertionError(f"{self.title}: the last step looks like the first")


def contrast(one, other):
    """The contrast of two colours by WCAG, from 1 to 21."""

    def light(colour):
        channels = [c / 255 for c in colour]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)
