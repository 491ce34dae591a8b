"""What requests and blocks look like in a picture. The same in the live view: looks.js; in its legends: looks.css."""

from .still import hatched, palette

NUM_COLOURS = 6  # --cl-r0 to --cl-r5 in theme.css


def request_colour(number):
    """The colour of a request (or a client), by its number in the view: "#rrggbb"."""
    return palette()[f"r{number % NUM_COLOURS}"]


def block_in_use(colour):
    """colour: that of the request that holds the block."""
    return {"facecolor": colour + "1f", "edgecolor": colour, "linewidth": 1.1}


def cached_block():
    """A block that no table holds, and whose content can still be found."""
    return hatched(palette()["faint"], palette()["card"], 4)


def cached_area():
    """The same in a chart over the steps."""
    return {"facecolor": palette()["card"], "edgecolor": palette()["faint"], "hatch": "////", "linewidth": 0}


def free_block():
    """An empty block."""
    return {"facecolor": "none", "edgecolor": palette()["faint"], "linestyle": "--", "linewidth": 0.8}
