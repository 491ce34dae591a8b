"""Finds the folder with a model's files: bundled with the course, on this machine, or on the Hugging Face hub."""

import difflib
import json
import os
import re
import threading
from pathlib import Path

from course_lib.errors import ModelError

BUNDLED = {"tale": "tale", "tale-draft": "tale_draft"}  # name -> folder beside this file

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TEXT_FILES = ["*.json", "tokenizer.model", "*.jinja"]
_ANSWER_S = 3.0
"""Seconds in which the hub must answer. The client itself tries for minutes before it says that there is no network."""
_FOLDERS = ["[!a]*/*", "a[!d]*/*"]  # all but additional_chat_templates: there are the weights in other formats


def find_folder(name, *, weights=True):
    """The folder with the files of a model, which is downloaded first for a hub id.

    name: a bundled name, a folder in Hugging Face format, or a hub id "owner/name".
    weights: False does not download the weights of a hub id (for the tokenizer alone).
    Raises ModelError where there is no such name, folder or repository.
    """
    if isinstance(name, str) and name in BUNDLED:
        return _bundled(name)
    if not isinstance(name, (str, os.PathLike)) or not str(name):
        raise ModelError(
            f'{name!r} does not name a model. Pass {_bundled_names()}, a folder, or a hub id "owner/name".'
        )
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise ModelError(
            f"{path} is a file, but a model is a folder: its configuration and its tokenizer are beside "
            f"its weights. Pass the folder, {str(path.parent)!r}."
        )
    if isinstance(name, str) and _HUB_ID.fullmatch(name):
        return _download(name, weights)
    near = difflib.get_close_matches(str(name), BUNDLED, n=1, cutoff=0.5)
    raise ModelError(
        f"There is no model {str(name)!r}: it is neither a bundled name ({_bundled_names()}), nor a "
        f'folder here, nor a hub id "owner/name". '
        + (f"Did you mean {near[0]!r}?" if near else "Check the spelling, or give the whole path.")
    )


def read_json(path):
    """The object in a JSON file, as a dictionary. Raises ModelError where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:  # bad JSON, or bytes that are not UTF-8
        raise ModelError(
            f"{path} is not valid JSON ({problem}), so the model cannot be read. Fetch the file again, or correct it."
        ) from None
    if not isinstance(value, dict):
        raise ModelError(
            f"{path} holds a {type(value).__name__}, but an object {{...}} with named settings was expected. "
            "Fetch the file again."
        )
    return value


def _bundled_names():
    return " or ".join(map(repr, BUNDLED))


def _bundled(name):
    folder = Path(__file__).parent / BUNDLED[name]
    if not folder.is_dir():
        raise ModelError(
            f"The bundled model {name!r} is missing from this installation: there is no folder "
            f"{folder}. Install the course again, or make the model as course_lib/models/training "
            f"describes."
        )
    return folder


def _download(name, weights):
    # Imported here, because only a hub id needs it and it takes half a second.
    import huggingface_hub
    from huggingface_hub import constants, errors

    # Some repositories hold the same weights in three formats; these patterns choose the one that is read here.
    wanted = [*_TEXT_FILES, "model*.safetensors"] if weights else _TEXT_FILES
    tried = f"There is no folder {name!r} here, so a model of that name was looked for on the Hugging Face hub"
    how = {"allow_patterns": wanted, "ignore_patterns": _FOLDERS}
    if not constants.HF_HUB_OFFLINE and not _answers(constants.ENDPOINT):
        how["local_files_only"] = True
    try:
        return Path(huggingface_hub.snapshot_download(name, **how))
    except errors.GatedRepoError:
        raise ModelError(
            f"{name!r} is gated: only accounts that accepted its licence can download it. "
            "Accept it on the model's page of the hub, then run `hf auth login`."
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelError(
            f"{tried}; it does not exist, or it is private. Check the spelling, or run "
            f"`hf auth login`. {_bundled_names()} need no download."
        ) from None
    except errors.HFValidationError as problem:
        raise ModelError(f"{tried}, but the name is not valid there ({problem}). Check the spelling.") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise ModelError(
            f"{tried}; the hub cannot be reached, and there is no earlier download of it on this machine. "
            f"Check the network (and that HF_HUB_OFFLINE is unset), or use {_bundled_names()}, which "
            f"need no download."
        ) from None
    except Exception as problem:  # versions of the client use different HTTP libraries, whose errors share no base
        # The message can be a page long; its first line says what happened.
        reason = ": ".join([type(problem).__name__, *str(problem).strip().splitlines()[:1]])
        raise ModelError(
            f"{tried}, but the download failed ({reason}). Try again, free some disk space if that is the "
            f"reason, or use {_bundled_names()}, which need no download."
        ) from None


def _answers(address, seconds=_ANSWER_S):
    """Whether a server answers anything at all in time. That includes the look-up of its name, which has no limit."""
    import httpx

    answers = []

    def ask():
        try:
            answers.append(httpx.head(address, timeout=seconds))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            pass

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return bool(answers)
