"""The state of a view in the output that shows it, so that a page without a kernel can bring the view back.

It is plain JSON: what the browser draws from. Jupyter shows nothing of it: it lies in the metadata of the output,
packed, because a trace has the same few words a thousand times.
"""

import base64
import gzip
import json

KEY = "course"


def kept(name, data, step, selected):
    """The metadata of an output: {KEY: {"view": its name, "state": packed}}. data: see `View`."""
    text = json.dumps({"data": data, "step": step, "selected": selected}, ensure_ascii=False, separators=(",", ":"))
    return {KEY: {"view": name, "state": base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()}}


def kept_in(metadata):
    """(name of the view, its state as JSON text) from the metadata of an output; None where none is kept."""
    found = metadata.get(KEY)
    if not found:
        return None
    return found["view"], gzip.decompress(base64.b64decode(found["state"])).decode()
