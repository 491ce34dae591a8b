"""A table in the look of a check's answer, as HTML."""

from html import escape

from .render import card, head


def table_card(title, about, columns, rows, numbers=()):
    """A card with a table. rows: tuples of texts, the first of each is its name. numbers: which columns are right."""
    css = [' class="cl-ck-number"' if at in numbers else "" for at in range(len(columns))]
    names = "".join(f'<th scope="col"{look}>{escape(name)}</th>' for name, look in zip(columns, css))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{look}>{escape(cell)}</td>" for cell, look in zip(row[1:], css[1:]))
        + "</tr>"
        for row in rows
    )
    table = f'<table class="cl-ck-table"><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>'
    return card(title, head(title.lower(), about), table)
