"""A chat in the notebook: what you write goes to a server, its answer streams, and the memory is shown beside it."""

import threading
import time

from course_lib.viz.kit.base import View, anywidget
from course_lib.viz.kit.format import count

from .model import chat_data, checked

if anywidget is not None:
    import traitlets

EVERY_S = 0.06  # the browser gets what is new at most so often
LATER_S = 0.15  # after the end the memory is looked at so much later: a server hears of a hang-up a moment after it


def chat_box(ask, memory=None, *, system=None):
    """A box to chat in.

    ask: a function of the messages, a list of {"role", "content"} dicts, that returns an iterator over the pieces of
    the answer; closing the iterator hangs up. memory: a function without arguments that returns (blocks in use,
    blocks), or None. system: the text of a first message of the system, or None. `say(text)` is the same as writing
    into the box.
    """
    return ChatBox(ask, memory, system)


class ChatBox(View):
    """See `chat_box`."""

    name = "chat"
    noun = "chat"
    needs_python = True

    if anywidget is not None:
        asked = traitlets.Dict().tag(sync=True)  # from the browser: {"text": ..., "number": ...} or {"stop": number}

    def __init__(self, ask, memory=None, system=None):
        self._ask, self._memory = ask, memory
        self.messages = [] if system is None else [{"role": "system", "content": system}]
        self._lock, self._stop, self._most = threading.Lock(), threading.Event(), 0
        super().__init__(self._data(""))
        if anywidget is not None:
            self.observe(self._heard, "asked")

    def say(self, text):
        """Sends a message and streams the answer. Returns the answer, a str; one at a time."""
        text = checked(text)
        with self._lock:
            self._stop.clear()
            self._most = 0
            answer = {"role": "assistant", "content": ""}
            asked = [*self.messages, {"role": "user", "content": text}]
            self.messages = [*asked, answer]
            state = "streams"
            try:
                state = self._stream(asked, answer)
            except Exception as error:  # the server may be gone, or refuse: the box says so
                state = f"{type(error).__name__}: {error}".rstrip(".")
            finally:
                if self._memory is not None:
                    time.sleep(LATER_S)
                self.data = self._data(state)
            return answer["content"]

    def stop(self):
        """Hangs up."""
        self._stop.set()

    def _stream(self, asked, answer):
        self.data, shown = self._data("streams"), time.monotonic()
        pieces = self._ask(asked)
        try:
            for piece in pieces:
                answer["content"] += piece
                if self._stop.is_set():
                    return "stopped"
                if time.monotonic() > shown + EVERY_S:
                    self.data, shown = self._data("streams"), time.monotonic()
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        return ""

    def _data(self, state):
        memory = None if self._memory is None else tuple(self._memory())
        self._most = max(self._most, memory[0] if memory else 0)
        shown = [one for one in self.messages if one["role"] != "system"]
        return chat_data(shown, state=state, memory=memory, most_blocks=self._most)

    def _heard(self, change):
        """The browser asks. The answer streams in a thread, so that the kernel hears the button that stops it."""
        asked = change["new"]
        if "stop" in asked:
            self.stop()
        elif isinstance(asked.get("text"), str) and asked["text"].strip() and not self._lock.locked():
            threading.Thread(target=self.say, args=(asked["text"],), daemon=True).start()

    def _rows(self, step):
        return [[one["who"], one["text"]] for one in self.data["messages"]]

    def _paint(self, step):
        from .still import paint

        return paint(self.data)

    def __repr__(self):
        return f"<{self.noun}: {count(len(self.data['messages']), 'message')}>"
