"""The roofline: how many operations a second a machine can do at most, by how many it does for each byte moved."""

from course_lib.viz.kit.still import Picture

from .model import Machine, placed, words
from .still import paint


def roofline(points, *, flops_per_s, bytes_per_s, machine="this machine"):
    """A Picture of points under the two roofs of a machine.

    points: tuples (name, operations, bytes) or (name, operations, bytes, seconds). Operations over bytes is the
        arithmetic intensity. With seconds a point stands where it was measured and is filled; without, it is hollow and
        stands on the roof, the most that the machine could do.
    flops_per_s, bytes_per_s: the machine's peaks. Raises ParameterError for numbers that are not positive. Source:
    Williams, Waterman and Patterson 2009, doi 10.1145/1498765.1498785.
    """
    peaks = Machine(machine, flops_per_s, bytes_per_s)
    found = placed(points, peaks)
    return Picture.of(paint(found, peaks), words(found, peaks))
