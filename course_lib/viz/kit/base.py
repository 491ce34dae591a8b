"""What every view has: a step, a selection, a widget, a picture, a table, and a form that a saved notebook keeps."""

import base64

from course_lib.errors import ParameterError

from .kept import kept
from .page import esm, stylesheet
from .still import Picture, static_html

try:
    import anywidget
    import traitlets
except ImportError:  # no Jupyter here: the static form still works
    anywidget = None


if anywidget is None:

    class _State:
        """The same three traits without a widget."""

        def __init__(self, *, data, step, selected=None):
            self.data, self.step, self.selected = data, step, selected

        def __setattr__(self, name, value):
            check = {"step": self.check_step, "selected": self.check_selected}.get(name)
            object.__setattr__(self, name, check(value) if check else value)

else:

    class _State(anywidget.AnyWidget):
        """`data` goes to the browser once; `step` and `selected` are kept the same on both sides."""

        data = traitlets.Dict().tag(sync=True)
        step = traitlets.TraitType(1).tag(sync=True)  # Any would let None past the check
        selected = traitlets.Any(None, allow_none=True).tag(sync=True)

        @traitlets.validate("step")
        def _step_in_range(self, proposal):
            return self.check_step(proposal["value"])

        @traitlets.validate("selected")
        def _selected_in_range(self, proposal):
            return self.check_selected(proposal["value"])


class View(_State):
    """Something that happened step by step, to be replayed. Make one with a function such as `recomputation_triangle`.

    step: the step shown, `first` to `last`, counted as on the screen; set it from Python or move it in the browser.
    selected: what is chosen in the view, or None; each view says what it means.
    data: what the browser draws from: title, subtitle, first, last, say (the words of each step, as [kind, text]
        pieces), columns (of the table), and what the view itself needs.

    A view adds: `name` (of its folder), `_rows(step)`, `_paint(step)` and `_poster()` (the step of its picture when
    saved, if it still stands at its first step: one that was set is the one that the text around it speaks of).
    """

    name = ""
    noun = "view"
    needs_python = False  # whether it does nothing without Python beside it

    def __init_subclass__(cls, **kwargs):
        if "name" in cls.__dict__:  # ipywidgets makes a subclass of every widget that gains a trait: not for that one
            cls._esm, cls._css = esm(cls.name), stylesheet(cls.name)
        super().__init_subclass__(**kwargs)

    def __init__(self, data, step=None):
        super().__init__(data=data, step=data["first"] if step is None else step)

    @property
    def first(self):
        return self.data["first"]

    @property
    def last(self):
        return self.data["last"]

    def check_step(self, step):
        """The step as an int; raises ParameterError where there is no such step."""
        if isinstance(step, bool) or not hasattr(step, "__index__") or not self.first <= step <= self.last:
            raise ParameterError(
                f"step {step!r} is asked for, this {self.noun} has steps {self.first} to {self.last}. "
                f"Steps are counted as on the screen: pass a whole number from {self.first} to {self.last}."
            )
        return step.__index__()

    def check_selected(self, selected):
        """The selection as it is kept; a view raises ParameterError for one that it does not have."""
        return selected

    def _at(self, step):
        return self.step if step is None else self.check_step(step)

    def words(self, step=None):
        """What happens in this step, as a sentence or two."""
        return "".join(text for _, text in self.data["say"][self._at(step) - self.first])

    def table(self, step=None):
        """The state after this step as rows, a dict each: what a screen reader reads instead of the picture."""
        return [dict(zip(self.data["columns"], row)) for row in self._rows(self._at(step))]

    def snapshot(self, step=None):
        """A still picture of this step: a PNG with alternative text, for print and for pages without a kernel."""
        step = self._at(step)
        where = f", step {step} of {self.last}" if self.last > self.first else ""
        return Picture.of(self._paint(step), alt=f"{self.data['title']}{where}. {self.words(step)}")

    def _poster(self):
        return self.step

    def bundle(self):
        """(data, metadata) as Jupyter displays them: the live view, and HTML and PNG that a saved notebook keeps.

        The metadata also has the state of the view, see kept.py.
        """
        step = self._poster() if self.step == self.first else self.step
        picture = self.snapshot(step)
        data = {"text/plain": repr(self), "image/png": base64.b64encode(picture.data).decode()}
        data["text/html"] = static_html(picture, self.words(step), self.data["columns"], self._rows(step))
        metadata = {"image/png": picture.metadata}
        if not self.needs_python:
            metadata |= kept(self.name, self._kept_data(), step, self.selected)
        if anywidget is not None:
            view, about_view = super()._repr_mimebundle_()  # on Colab the metadata says where its widget manager is
            kind = "application/vnd.jupyter.widget-view+json"
            data[kind] = view[kind]
            metadata |= about_view
        return data, metadata

    def _kept_data(self):
        """What of `data` an output keeps."""
        return self.data

    def page_scripts(self):
        """Scripts that a page without Jupyter has to hold for this view, as texts."""
        return ()

    def _repr_mimebundle_(self, **kwargs):
        return self.bundle()

    def _ipython_display_(self, **kwargs):
        # ipywidgets 7 defines this method and then never calls _repr_mimebundle_: the bundle is displayed raw
        from IPython.display import display

        data, metadata = self.bundle()
        display(data, metadata=metadata, raw=True)

    def __repr__(self):
        return f"<{self.noun}: {self.data['subtitle']}, step {self.step} of {self.last}>"
