"""A class hands in one lesson, in every way that students do, and nbgrader grades it.

    python benchmarks/nbgrader_class.py [01] [--folder FOLDER] [--kinds right wrong ...]

Makes a course folder with `course release`, one submission of each kind in tests/shared/submissions.py, and runs the
commands of docs/teaching.md on them. For each it prints the mark, the fair mark and the seconds on the clock, and then
how long the processors worked for all, whatever else they did. The exit code is 1 where a mark is not fair, points are
pending, or the feedback names a folder of this machine.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

from course_lib.checkout import find_root, lessons
from course_lib.teaching.release import release

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "shared"))
from submissions import KINDS, hand_in  # noqa: E402


def grade_class(folder, lesson, kinds):
    """{student: (kind, points, fair points, whether points are pending, seconds)} and the seconds of the feedback."""
    release(find_root(), folder, [f"solutions/{lesson.name}"], report=lambda line: None)
    solution, students = nbformat.read(lesson.target, as_version=4), {}
    for number, kind in enumerate(kinds, start=1):
        student = f"student{number:02}"
        notebook, fair = hand_in(solution, kind)
        path = folder / "submitted" / student / lesson.name / lesson.target.name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        students[student] = kind, fair
    seconds = _timed(folder, "autograde", lesson.name)
    feedback = sum(_timed(folder, "generate_feedback", lesson.name).values())
    with Gradebook(f"sqlite:///{folder}/gradebook.db") as gradebook:
        graded = {one.student.id: one for one in gradebook.assignment_submissions(lesson.name)}
        found = {
            student: (kind, graded[student].score, fair, graded[student].needs_manual_grade, seconds.get(student, 0.0))
            for student, (kind, fair) in students.items()
        }
    return found, feedback


def _timed(folder, command, assignment):
    """{student: seconds} of a command of nbgrader, by the lines that it logs; "" has what came before the first."""
    run = subprocess.Popen(
        [sys.executable, "-m", "nbgrader", command, assignment, "--force"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    times, student, began = {}, "", time.perf_counter()
    with open(folder / f"{command}.log", "w", buffering=1) as log:
        for line in run.stdout:
            log.write(line)
            if found := re.search(r"student with ID '(\w+)'", line):
                times[student], began, student = time.perf_counter() - began, time.perf_counter(), found[1]
    times[student] = time.perf_counter() - began
    run.wait()
    return times


def named_places(folder, lesson):
    """The feedback files that name a folder of this machine."""
    places = {str(find_root()), str(Path.home()), str(folder), sys.prefix}
    files = sorted((folder / "feedback").glob(f"*/{lesson.name}/*.html"))
    return [path for path in files if any(place in path.read_text(encoding="utf-8") for place in places)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("lesson", nargs="?", default="01")
    parser.add_argument("--folder", type=Path, help="default: a temporary one")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="KIND")
    args = parser.parse_args()
    [lesson] = lessons(find_root(), [f"solutions/{args.lesson}"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        found, feedback = grade_class(folder, lesson, args.kinds)
        places = named_places(folder, lesson)
    bad = 0
    for student, (kind, points, fair, pending, seconds) in found.items():
        is_bad = points != fair or pending
        bad += is_bad
        print(
            f"{student}  {kind:26}  {points:4g} of {fair:g} fair  {seconds:6.1f} s{'  <- not fair' if is_bad else ''}"
        )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"autograde: {sum(row[-1] for row in found.values()):.0f} s for {len(found)}; feedback: {feedback:.0f} s")
    print(f"seconds of all processors together, with the release: {used.ru_utime + used.ru_stime:.0f}")
    for path in places:
        print(f"{path} names a folder of this machine")
    sys.exit(bool(bad or places))


if __name__ == "__main__":
    main()
