"""JupyterLab in a real, headless Chromium, driven from tests.

with lab.open("notebooks/00_start_here.ipynb") as page:
    page.run_all()                       # to the end; the kernel is idle again
    view = page.view("recomputation triangle")
    view.press("ArrowRight"); view.step  # the view's step, in the browser
# on leaving: no console error, and nothing was asked of another machine
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

READY_SECONDS = 600
CELLS_SECONDS = 1800
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"

SETTINGS = {
    # every cell is in the page, also those out of sight
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # a saved notebook must not change under the test
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
# Installed for teachers and developers only; a learner's JupyterLab has none of them, nor has its server.
NOT_LEARNERS = ["@jupyter/nbgrader", "jupyterlab-jupytext", "@jupyter-notebook/lab-extension"]
NOT_LEARNERS_SERVER = [
    *(f"nbgrader.server_extensions.{name}" for name in ("assignment_list", "course_list", "formgrader")),
    "nbgrader.server_extensions.validate_assignment",
    "jupyterlab_jupytext",
    "notebook",
]


def find_chromium():
    """The path of a Chromium or Chrome, or None. CHROMIUM names one that is elsewhere."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@contextlib.contextmanager
def jupyter_lab(root, scratch, *, forked=False):
    """Serves `root` with a JupyterLab of its own settings, kept in `scratch`; yields its address.

    forked: notebooks run in the kernels of forked_kernels.py.
    """
    config, settings = scratch / "config", scratch / "settings"
    (config / "labconfig").mkdir(parents=True)
    settings.mkdir()
    (config / "labconfig" / "page_config.json").write_text(
        json.dumps({"disabledExtensions": dict.fromkeys(NOT_LEARNERS, True)})
    )
    (config / "jupyter_server_config.json").write_text(
        json.dumps({"ServerApp": {"jpserver_extensions": dict.fromkeys(NOT_LEARNERS_SERVER, False)}})
    )
    (settings / "overrides.json").write_text(json.dumps(SETTINGS))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "COURSE_HOME": str(scratch / "home"),
    }
    if forked:
        from forked_kernels import kernel_folder

        environment["JUPYTER_PATH"] = kernel_folder(scratch / "jupyter")
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ip=127.0.0.1",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        "--ServerApp.password=",
        f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True",
        f"--LabApp.app_settings_dir={settings}",
        f"--LabApp.user_settings_dir={scratch / 'user'}",
        f"--LabApp.workspaces_dir={scratch / 'workspaces'}",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "--LabApp.news_url=",
    ]
    with open(scratch / "lab.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, server, scratch / "lab.log")
            yield address
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # the server and its kernels
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def _wait_for(address, server, log):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/api/status", timeout=60).close()
            return
        time.sleep(0.3)
    raise RuntimeError(f"JupyterLab did not start. Its log:\n{log.read_text()}")


class Lab:
    """A browser on a JupyterLab server. One page opens all notebooks: to load JupyterLab takes it seconds."""

    def __init__(self, address, browser, root):
        self.address, self.root = address, Path(root)
        self.context, self.page = browser.new_context(), None
        self.errors, self.elsewhere = [], []

    @contextlib.contextmanager
    def open(self, notebook, *, theme=LIGHT, width=1400, fresh=False):
        """Opens `notebook` (a path below the root) with a fresh kernel; yields a NotebookPage.

        fresh: JupyterLab itself is loaded anew, as after an error. On leaving, raises AssertionError for errors in the
        browser's console and for requests that leave the machine.
        """
        from notebook_page import NotebookPage

        if fresh:
            self.close()
        page = self._loaded()
        page.set_viewport_size({"width": width, "height": 1000})
        self.errors.clear()
        self.elsewhere.clear()
        try:
            page.evaluate(OPEN, {"path": str(notebook), "theme": theme})
            shown = NotebookPage(page)
            shown.wait_until_idle()  # closed while it still starts, JupyterLab leaves errors of its own
            yield shown
            shown.wait_until_idle()
            page.evaluate(CLOSE)
        except BaseException:
            self.close()
            raise
        if self.elsewhere:
            raise AssertionError(f"{notebook} asked other machines: {self.elsewhere}")
        if self.errors:
            raise AssertionError(f"{notebook} left errors in the browser's console:\n" + "\n".join(self.errors))

    def _loaded(self):
        """The page with JupyterLab in it."""
        if self.page is None:
            page = self.context.new_page()
            page.set_default_timeout(READY_SECONDS * 1000)
            page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", self._note)
            # Not stopped here, by a route of the context: Chromium would read everything anew for each page.
            page.on("request", lambda request: None if is_here(request.url) else self.elsewhere.append(request.url))
            page.on("websocket", lambda ws: None if is_here(ws.url) else self.elsewhere.append(ws.url))
            page.goto(f"{self.address}/lab?reset")
            page.wait_for_function("window.jupyterapp && window.jupyterapp.restored")
            self.page = page
        return self.page

    def _note(self, error):
        if not is_labs_own(error):
            self.errors.append(f"{error}\n{error.stack}")

    def close(self):
        """Closes the page; the next notebook is opened in another one."""
        if self.page is not None:
            self.page.close()
        self.page = None


def is_labs_own(error):
    """Whether JupyterLab removed a cell's node that was gone already, as it does on a busy machine while a notebook
    scrolls.

    A view's module comes from a blob or from data, never from a file of JupyterLab.
    """
    frames = [line for line in (error.stack or "").splitlines() if line.strip().startswith("at ")]
    return (
        "'removeChild' on 'Node'" in str(error)
        and bool(frames)
        and all("/static/lab/" in f or "<anonymous>" in f for f in frames)
    )


def is_here(url):
    """Whether a request for `url` stays on this machine."""
    parts = urlparse(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")


OPEN = """async ({path, theme}) => {
  const app = window.jupyterapp;
  await app.restored;
  await app.commands.execute('apputils:change-theme', {theme});
  const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'});
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  app.shell.collapseLeft();
  app.shell.activateById(panel.id);
  window.coursePanel = panel;
}"""

CLOSE = """async () => {
  await window.coursePanel.sessionContext.shutdown();
  window.coursePanel.dispose();  // unlike close(), it does not ask whether to save
}"""

if __name__ == "__main__":  # for the Makefile: whether there is a browser
    sys.exit(find_chromium() is None)
