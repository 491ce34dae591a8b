"""Many requests at once: who runs next, one run of the model for all of them, and who is done.

Names arrive on first use.
"""

from importlib import import_module

_HOME = {
    "DynamicBatcher": "course_lib.engine.dynamic",
    "Engine": "course_lib.engine.engine",
    "EngineConfig": "course_lib.engine.config",
    "FCFS": "course_lib.engine.policies",
    "Fair": "course_lib.engine.policies",
    "Policy": "course_lib.engine.policies",
    "Priority": "course_lib.engine.policies",
    "Request": "course_lib.engine.request",
    "RequestOutput": "course_lib.engine.request",
    "Scheduler": "course_lib.engine.scheduler",
    "Step": "course_lib.engine.scheduler",
    "run_dynamic": "course_lib.engine.dynamic",
    "run_static": "course_lib.engine.static",
}

__all__ = list(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"course_lib.engine has no {name!r}; it offers {', '.join(__all__)}")


def __dir__():
    return sorted([*globals(), *__all__])
