"""The lessons as a site that a browser opens without Python, from a server or from a folder: what `course site` makes.

    site/index.html                       parts and lessons
    site/{notebooks,exercises,solutions}  a page for each notebook, by nbconvert
    site/api                              a page for each public package, from its docstrings, by pdoc
    site/assets                           style sheet, scripts of the views, plotly.js, pictures

No notebook is executed: a page shows the outputs that the notebook keeps. A view comes alive from the state in the
metadata of its output (viz/kit/kept.py). Nothing on a page is fetched from another place.
This package needs the packages of the extra `site`; only `course site` imports it.
"""

from .build import build_site

__all__ = ["build_site"]
