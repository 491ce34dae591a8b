"""The outputs of a graded run: what nbgrader makes of them, how much is kept, and nothing of the grader's machine."""

from pathlib import Path

from nbformat.v4 import new_output

from course_lib.authoring.run import merged_streams, tidied, without_paths

ROOT = str(Path(__file__).resolve().parents[2])
"""Where the course is; a printed PYTHONPATH has it."""
MOST_CHARACTERS = 200_000
"""So much output of a cell is kept, pictures apart."""
MOST_PICTURES = 5_000_000
"""The same for pictures, in characters of base64."""


def error(name, message):
    """An output that nbgrader takes for a failed cell."""
    return new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"])


def failed(cell):
    """Whether a cell ended in an error. nbgrader also takes output to stderr for one; see without_misreadings."""
    return any(output.output_type == "error" for output in cell.outputs)


def without_misreadings(outputs, number):
    """The outputs of a cell that grades and passed, so that nbgrader reads no other mark out of them.

    Text on stderr would cost all points; the value of the last line would be taken for a mark, and a warning be logged
    where it is none. number: whether it is one.
    """
    found = []
    for output in outputs:
        if output.output_type == "stream":
            output.name = "stdout"
        elif output.output_type == "execute_result" and not number:
            output = new_output("display_data", data=output.data, metadata=output.metadata)
        found.append(output)
    return found


def without_our_lines(outputs):
    """The outputs of a check that did not pass: the card, and of the error its first line, not our own code."""
    for output in outputs:
        if output.get("ename") == "CheckFailed":
            output.evalue = output.evalue.partition("\n")[0]
            output.traceback = [f"CheckFailed: {output.evalue}"]
    return outputs


class Room:
    """Counts what a cell has printed and shown, and says when it is too much."""

    def __init__(self):
        self.characters = self.pictures = 0

    def fits(self, content):
        """Whether one more message of the kernel, with this content, is kept."""
        for kind, value in content.get("data", {"text/plain": content.get("text", "")}).items():
            if kind.startswith("image/"):
                self.pictures += len(str(value))
            else:
                self.characters += len(str(value))
        return self.is_left

    @property
    def is_left(self):
        """Whether nothing was too much so far."""
        return self.characters <= MOST_CHARACTERS and self.pictures <= MOST_PICTURES


def cleaned(outputs, places):
    """The outputs without paths of this machine and without live widgets. places: folders of this run."""
    return [_without(tidied(output), places) for output in merged_streams(outputs)]


def _without(output, places):
    if "text" in output:
        output.text = _cleaned_text(output.text, places)
    if output.output_type == "error":
        output.evalue = _cleaned_text(output.evalue, places)
        output.traceback = [_cleaned_text(line, places) for line in output.traceback]
    for kind in ("text/plain", "text/html"):
        if kind in output.get("data", {}):
            output.data[kind] = _cleaned_text(output.data[kind], places)
    return output


def _cleaned_text(text, places):
    for place in places:
        text = text.replace(place, "~")
    return without_paths(text).replace(ROOT, "~")
