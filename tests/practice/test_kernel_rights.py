"""Right kernels of lessons 07 and 08 hold on rung 2: in other orders of their programs too, and compiled."""

import pytest

from course_lib.practice.judge import registry
from course_lib.practice.judge.exercise import NotVerified
from course_lib.practice.judge.kernel_launches import launched_by
from course_lib.practice.judge.rungs import InTriton, machine

KERNELS = [
    (exercise, right)
    for exercise in registry.exercises().values()
    for right in exercise.rights
    if isinstance(right, InTriton)
]


@pytest.mark.parametrize("exercise, right", KERNELS, ids=lambda value: getattr(value, "id", None) or value.__name__)
def test_a_right_kernel_holds_on_every_rung_that_this_machine_has(exercise, right):
    second, third = exercise.properties[-2:]
    assert "`" in second.run(right)
    if machine().triton != "compiled":
        with pytest.raises(NotVerified, match="no GPU"):
            third.run(right)


@pytest.mark.parametrize("exercise, right", KERNELS, ids=lambda value: getattr(value, "id", None) or value.__name__)
def test_the_compiler_is_given_the_types_of_all_arguments(exercise, right):
    if machine().triton != "interpreted":
        pytest.skip("a GPU compiles the kernel itself")
    launches = launched_by(right, [exercise.properties[0].trials[0]])
    assert launches and all(launch.types for launch in launches)
