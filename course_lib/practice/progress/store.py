"""One JSON file that a kill at any moment cannot hurt.

Every change is read, applied and written under a lock, into a second file that then takes the
place of the first in one step. At each moment there is one whole file: the old or the new.
What cannot be written is kept for this session, and said.
"""

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from course_lib.errors import CourseError

SCHEMA = 1
"""The number of this file's layout. A file with a higher one belongs to a newer course."""
_LOCK_WAIT_S = 10.0


class StoreError(CourseError):
    """Progress that could not be kept. What was being done is not affected."""


class Store:
    """The state in `folder/progress.json`: a dict, changed by functions.

    Every method returns or raises in words for the learner; none loses what is on disk.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self._pending: list[Callable[[dict], None]] = []
        self._busy = threading.Lock()  # the threads of one kernel share the list

    @property
    def path(self):
        return self.folder / "progress.json"

    @property
    def is_waiting(self):
        """Whether a change could not be written yet."""
        return bool(self._pending)

    def read(self):
        """(state, notices). Never raises: what cannot be read counts as empty, and is said."""
        try:
            state, notices = self._load(), []
        except Damaged as damage:
            state, notices = (
                empty(),
                [
                    f"{damage}, so no earlier progress is shown. With the next check, hint or guess it "
                    f"is set aside, unchanged, and a new file is begun."
                ],
            )
        except StoreError as problem:
            state, notices = empty(), [str(problem)]
        for change in list(self._pending):
            change(state)
        return state, notices

    def update(self, change):
        """Applies change(state) and writes. Returns notices, [] when all is well.

        A change that could not be written is kept in memory, and tried again with the next one.
        """
        with self._busy:
            self._pending.append(change)
            return self._write_pending()

    def _write_pending(self):
        notices = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / "progress.lock"):
                try:
                    state = self._load()
                except Damaged as damage:
                    notices.append(self._set_aside(damage))
                    state = empty()
                for waiting in self._pending:
                    waiting(state)
                write_whole(self.path, json.dumps(state, indent=1, ensure_ascii=False) + "\n")
            self._pending.clear()
        except StoreError as problem:
            notices.append(str(problem))
        except OSError as error:
            room = "make room there, or " if error.errno == errno.ENOSPC else ""
            notices.append(
                f"Progress could not be written to {self.folder} ({error.strerror or error}), so it is kept only "
                f"until this kernel stops. The check itself is not affected. To keep progress, "
                f"{room}set the environment variable COURSE_HOME to a folder that you can write to."
            )
        return notices

    def problem(self):
        """What keeps the file from being read, as a Damaged or StoreError; None when all is well."""
        try:
            self._load()
        except (Damaged, StoreError) as problem:
            return problem
        return None

    def back_up(self):
        """Copies the file beside itself. Returns the copy's path, or None when there is no file."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        copy = self._free_name("backup")
        write_whole(copy, text)
        return copy

    def _load(self):
        """The state on disk. Raises Damaged, or StoreError for a file that is not ours to touch."""
        try:
            text = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return empty()
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be read ({error.strerror or error}), so earlier progress is not "
                f"shown and nothing is written. Check the permissions of that file."
            ) from error
        return parsed(text, self.path)

    def _set_aside(self, damage):
        kept = self._free_name("damaged")
        os.replace(self.path, kept)
        return f"{damage}. It was set aside as {kept.name}, unchanged, and a new file was begun."

    def _free_name(self, what):
        stamp = time.strftime("%Y%m%d-%H%M%S")
        for suffix in ["", *(f"-{i}" for i in range(2, 1000))]:
            path = self.folder / f"progress.{what}-{stamp}{suffix}.json"
            if not path.exists():
                return path
        raise StoreError(f"{self.folder} holds a thousand files of this second. Tidy it up.")


class Nowhere(Store):
    """The store where no folder is known: all is kept in memory, and said."""

    def __init__(self):
        super().__init__("no folder")

    def _load(self):
        raise StoreError(
            "This system knows no home folder for you, so progress is kept only until this kernel stops. Set the "
            "environment variable COURSE_HOME to a folder that you can write to."
        )

    def _write_pending(self):
        return [str(self.problem())]


def parsed(text, path):
    """The state in the bytes of a file. Raises Damaged, or StoreError for a file of a newer version."""
    try:
        state = json.loads(text.decode("utf-8"))
        schema = state["schema"]
        if type(schema) is int and schema > SCHEMA:
            raise StoreError(
                f"{path} was written by a newer version of the course (layout {schema}, this "
                f"version knows {SCHEMA}). It is left as it is, and progress is kept only until "
                f"this kernel stops. Update the course, or set COURSE_HOME to another folder."
            )
        _check_shape(state)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"{path} is damaged ({type(error).__name__}: {error})") from error
    return state


class Damaged(CourseError):
    """The file is there and is not what the course writes."""


def empty():
    return {"schema": SCHEMA, "exercises": {}, "guesses": {}}


def _check_shape(state):
    """Raises ValueError unless the state is of the shape that the course writes."""
    if type(state["schema"]) is not int or state["schema"] < 1:
        raise ValueError("no layout number")
    for part in ("exercises", "guesses"):
        if not isinstance(state[part], dict) or not all(isinstance(v, dict) for v in state[part].values()):
            raise ValueError(f"{part!r} is not a table")
    for key, entry in state["exercises"].items():
        for count in ("attempts", "hints"):
            if type(entry.get(count, 0)) is not int or entry.get(count, 0) < 0:
                raise ValueError(f"{count} of {key} is not a count")
        passed = entry.get("passed")
        if passed is not None and not (isinstance(passed, dict) and isinstance(passed.get("source", ""), str)):
            raise ValueError(f"the pass of {key} is not readable")
        if passed and passed.get("source") and not isinstance(passed.get("name"), str):
            raise ValueError(f"the pass of {key} has code without a name")
    for key, guess in state["guesses"].items():
        if type(guess.get("choice")) is not int or guess["choice"] < 0:
            raise ValueError(f"the guess of {key} is not the number of an option")
        if not isinstance(guess.get("right"), (bool, type(None))):
            raise ValueError(f"the guess of {key} is neither right nor wrong")


def write_whole(path, text):
    """Writes `text` to `path` so that the file is at each moment whole: the old one or the new one."""
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    temporary = path.with_name(path.name + ".tmp")  # one name: whoever holds the lock may write over it
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(temporary, path)
    except BaseException:  # an interrupt too
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def _put_in_place(temporary, path):
    """os.replace; tried again for half a second, because Windows refuses it while another program reads `path`."""
    for wait in (0.01, 0.03, 0.1, 0.4):
        try:
            return os.replace(temporary, path)
        except PermissionError:
            time.sleep(wait)
    os.replace(temporary, path)


def sync_folder(folder):
    """Makes a rename in `folder` survive a power cut, where the system has a way to ask for it."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # some network file systems refuse; the rename itself is done
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def locked(path):
    """Holds the lock file, against other threads and processes. The system frees it after a kill."""
    with open(path, "ab+") as file:
        end = time.monotonic() + _LOCK_WAIT_S
        while not _try_lock(file):
            if time.monotonic() > end:
                raise StoreError(
                    f"Another kernel has held {path} for {_LOCK_WAIT_S:g} s, so progress was not "
                    f"written now; it goes in with the next check. Stop the other kernel if it hangs."
                )
            time.sleep(0.01)
        try:
            yield
        finally:
            _unlock(file)


try:
    import fcntl

    def _try_lock(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file):
        fcntl.flock(file, fcntl.LOCK_UN)

except ImportError:  # Windows
    import msvcrt

    def _try_lock(file):
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file):
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
