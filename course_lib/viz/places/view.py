"""The map: each mechanism in the learner's part, in course_lib, in vLLM and in SGLang, with links."""

from course_lib.viz.kit.base import View
from course_lib.viz.kit.inputs import index_or_none

from .mechanisms import MECHANISMS
from .model import map_data

COURSE = "https://github.com/llm-inference-course/llm-inference-course/blob/main/course_lib/"


def source_map(yours=(), *, mechanisms=MECHANISMS, course_root=COURSE):
    """A row for each mechanism of an engine, and where it is: a step of the view is one of them.

    yours: ids of exercises whose parts are the learner's own; they are marked. mechanisms: dicts as in mechanisms.py.
    course_root: what the links to files of course_lib begin with. Raises ParameterError for what does not fit together.
    """
    return SourceMap(map_data(mechanisms, yours, course_root))


class SourceMap(View):
    """See `source_map`."""

    name = "places"
    noun = "map of sources"

    def check_selected(self, selected):
        return index_or_none(selected, 3, "column")

    def _rows(self, step):
        return self.data["rows"]

    def _paint(self, step):
        from .still import paint

        return paint(self.data, step)
