"""The data of the map: rows of mechanisms with their places and links."""

from course_lib.errors import ParameterError
from course_lib.viz.kit.format import count
from course_lib.viz.kit.inputs import keys, some

from .mechanisms import ROOTS, VERSIONS

ENGINES = ("vLLM", "SGLang")
NEEDED = ("title", "exercise", "course", *ENGINES, "says")


def map_data(mechanisms, yours, course_root):
    """What the browser draws from. Raises ParameterError for what does not fit together."""
    rows = [_row(at, one, course_root) for at, one in enumerate(some("mechanisms", mechanisms))]
    known = {row["exercise"] for row in rows}
    yours = list(yours)
    for exercise in yours:
        if not isinstance(exercise, str):
            raise ParameterError(f"yours holds {exercise!r}; it is a list of exercise ids, such as ['04.allocator'].")
    mine = [row["exercise"] in yours for row in rows]
    of = f"{sum(mine)} of {count(len(known), 'part')} yours" if yours else count(len(rows), "mechanism")
    data = {
        "title": "The map: your file, vLLM's file",
        "subtitle": f"vLLM {VERSIONS['vLLM']} · SGLang {VERSIONS['SGLang']} · {of}",
        "first": 1,
        "last": len(rows),
        "mechanisms": rows,
        "mine": mine,
        "columns": ["mechanism", "your part", "course_lib", *ENGINES],
    }
    data["say"] = [
        [["strong", f"{row['title']}. "], ["", row["says"]], ["", " Your part passed its check." if own else ""]]
        for row, own in zip(rows, mine)
    ]
    data["rows"] = [
        [row["title"], row["exercise"], *(f"{place['file']} {place['name']}" for place in row["places"])]
        for row in rows
    ]
    return data


def _row(at, one, course_root):
    keys(f"mechanisms[{at}]", one, NEEDED)
    places = [_place(f"mechanisms[{at}]['course']", (*one["course"], None), course_root)]
    places += [_place(f"mechanisms[{at}]['{name}']", one[name], ROOTS[name]) for name in ENGINES]
    return {"title": one["title"], "exercise": one["exercise"], "says": one["says"], "places": places}


def _place(where, place, root):
    if not isinstance(place, (tuple, list)) or len(place) != 3:
        raise ParameterError(f"{where} is {place!r}; it is (file, name, line), and the line may be None.")
    file, name, line = place
    return {"file": file, "name": name, "line": line, "url": f"{root}{file}" + (f"#L{line}" if line else "")}
