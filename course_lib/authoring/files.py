"""Files that the build writes: in one piece, and only where something has changed."""

import os


def write_if_changed(path, text):
    """Writes through a second file, so that a kill leaves the old or the new text; says whether it wrote."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.part")
    half.write_text(text, encoding="utf-8")
    os.replace(half, path)
    return True
