"""A `Table` as Markdown, CSV, LaTeX (booktabs) and HTML."""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from tabulate import tabulate

from mipnerf.report.tables.table import DELTA, MISSING, OURS, SOURCE, Cell, Column, Table

# The best, second and third, told apart without colour.
MARKDOWN_RANKS = {1: "**{}**", 2: "<ins>{}</ins>", 3: "*{}*"}
LATEX_RANKS = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}", 3: r"\textit{{{}}}"}
HTML_RANKS = {1: "<b>{}</b>", 2: "<u>{}</u>", 3: "<i>{}</i>"}
LATEX_CHARACTERS = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{character: rf"\{character}" for character in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "—": "---",
        "–": "--",
        "“": "``",
        "”": "''",
        "…": r"\ldots{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "√": r"$\surd$",
        "−": r"$-$",
        "≤": r"$\leq$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "Δ": r"$\Delta$",
        "σ": r"$\sigma$",
    }
)
MAX_IN_COLUMN = 7  # columns of a table that can be read in one column of a paper
BOLD = re.compile(r"\*\*(.+?)\*\*")
STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse;margin:0 0 2rem}"
    "caption{text-align:left;font-weight:bold;padding:.4rem 0}td,th{padding:.2rem .6rem;text-align:right}"
    "th[colspan]{text-align:center}"
    ".left{text-align:left}thead{border-bottom:1px solid}tr.block{border-top:1px solid #ccc}"
    "table{border-top:2px solid;border-bottom:2px solid}tfoot td{text-align:left;font-size:90%;white-space:normal}"
    "td{white-space:nowrap;font-variant-numeric:tabular-nums}"
)


@dataclass(frozen=True)
class Parts:
    """A table in one format, in parts that can be put together with other rows: `head`, `rows`, `tail`.

    `gap` stands before the rows `breaks` where all rows are there in their order.
    """

    head: str
    rows: Sequence[str]
    tail: str = ""
    gap: str = ""
    breaks: Sequence[int] = field(default=())

    def whole(self) -> str:
        """All of the table."""
        rows = (self.gap * (i in self.breaks) + row for i, row in enumerate(self.rows))
        return "".join([self.head, *rows, self.tail])


def copy_parts(table: Table) -> dict[str, Parts]:
    """The table in the formats in which it can be copied, whatever rows are shown."""
    return {"markdown": markdown_parts(table), "csv": csv_parts(table), "latex": latex_parts(table)}


def to_markdown(table: Table) -> str:
    """The grid alone, a pipe table; `table.title` and `table.notes` are the caller's."""
    return markdown_parts(table).whole().removesuffix("\n")


def markdown_parts(table: Table) -> Parts:
    """What `to_markdown` is made of."""
    rows = [[_marked(_markdown(cell.full_text), cell.rank, MARKDOWN_RANKS) for cell in row] for row in table.rows]
    align = [column.align for column in table.columns]
    headers = [_markdown(column.name) for column in table.columns]
    text = tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align)
    titles, line, *lines = text.splitlines(keepends=True)
    return Parts(titles + line.rstrip("\n") + "\n", [row.rstrip("\n") + "\n" for row in lines])


def markdown_page(tables: Iterable[Table]) -> str:
    """Every table below its title and above its notes."""
    parts = [[f"## {table.title}", to_markdown(table), " ".join(table.notes)] for table in tables]
    return "\n\n".join(part for part in itertools.chain(*parts) if part) + "\n"


def to_csv(table: Table) -> str:
    """The texts as they are shown, empty where there is none; a spread has a column of its own behind its value."""
    return csv_parts(table).whole()


def csv_parts(table: Table) -> Parts:
    """What `to_csv` is made of."""
    has_spread = [any(row[j].spread for row in table.rows) for j in range(len(table.columns))]
    header = ((column.plain_name, f"{column.plain_name} ±") for column in table.columns)
    lines = []
    for pairs in [header, *(((_plain(cell), cell.spread) for cell in row) for row in table.rows)]:
        stream, cells = io.StringIO(), zip(pairs, has_spread, strict=True)
        csv.writer(stream, lineterminator="\n").writerow([text for pair, both in cells for text in pair[: 1 + both]])
        lines.append(stream.getvalue())
    return Parts(lines[0], lines[1:])


def to_latex(table: Table) -> str:
    """A `table` environment for the packages booktabs and adjustbox, its notes in the caption."""
    return latex_parts(table).whole()


def latex_parts(table: Table) -> Parts:
    """What `to_latex` is made of."""
    groups = _groups(table.columns)
    # Wide ones go over both columns of a paper.
    environment = "table*" if len(table.columns) > MAX_IN_COLUMN else "table"
    lines = [rf"\begin{{{environment}}}", r"\centering", rf"\caption{{{_latex(_caption(table))}}}"]
    lines += [rf"\label{{tab:{table.name}}}", r"\begin{adjustbox}{max width=\linewidth}"]
    lines += [rf"\begin{{tabular}}{{{''.join(c.align[0] for c in table.columns)}}}"]
    lines.append(r"\toprule")
    if any(group for group, _, _ in groups):
        lines.append(_latex_row(rf"\multicolumn{{{n}}}{{c}}{{{_latex(group)}}}" for group, _, n in groups))
        lines.append(" ".join(rf"\cmidrule(lr){{{i + 1}-{i + n}}}" for group, i, n in groups if group))
    lines += [_latex_row(_latex(column.title) for column in table.columns), r"\midrule"]
    rows = [_latex_row(_marked(_latex_text(cell), cell.rank, LATEX_RANKS) for cell in row) for row in table.rows]
    end = [r"\bottomrule", r"\end{tabular}", r"\end{adjustbox}", rf"\end{{{environment}}}"]
    breaks = [i for i in table.breaks if i > 0]
    return Parts(_lines(lines), [_lines([row]) for row in rows], _lines(end), _lines([r"\addlinespace"]), breaks)


def latex_page(tables: Iterable[Table]) -> str:
    """All tables, to be read by LaTeX's `input`."""
    return "\n".join(["% needs \\usepackage{adjustbox,booktabs}", *map(to_latex, tables)])


def to_html(table: Table) -> str:
    """A `<table>` without script or style; `data-value` holds numbers unrounded, to sort by, classes the verdicts."""
    groups = _groups(table.columns)
    lines = [f'<table id="{escape(table.name)}">', f"<caption>{escape(table.title)}</caption>", "<thead>"]
    if any(group for group, _, _ in groups):
        heads = [
            f'<th colspan="{n}" scope="colgroup">{escape(group)}</th>' if group else f'<td colspan="{n}"></td>'
            for group, _, n in groups
        ]
        lines.append(f"<tr>{''.join(heads)}</tr>")
    lines += [f"<tr>{''.join(map(_html_head, table.columns))}</tr>", "</thead>", "<tbody>"]
    for i, row in enumerate(table.rows):
        cells = [_html_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
        classes = [*["block"] * (i > 0 and i in table.breaks), *_origin(table, row)]
        name = f' class="{" ".join(classes)}"' if classes else ""
        lines.append(f"<tr{name}>{''.join(cells)}</tr>")
    lines.append("</tbody>")
    if table.notes:
        lines.append(f'<tfoot><tr><td colspan="{len(table.columns)}">{_html(" ".join(table.notes))}</td></tr></tfoot>')
    return "\n".join([*lines, "</table>"]) + "\n"


def html_page(title: str, tables: Iterable[Table]) -> str:
    """A whole page of tables, which needs nothing but itself."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = "\n".join(map(to_html, tables))
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}</body></html>\n'


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _origin(table: Table, row: Sequence[Cell]) -> list[str]:
    """Whose numbers a row has, where that is not ours."""
    sources = [cell.text for cell, column in zip(row, table.columns, strict=True) if column.title == SOURCE]
    return ["delta" if source == DELTA else "published" for source in sources if source != OURS]


def _marked(text: str, rank: int | None, marks: dict[int, str]) -> str:
    return text if rank is None else marks.get(rank, "{}").format(text)


def _markdown(text: str) -> str:
    return " ".join(text.replace("|", r"\|").splitlines())


def _plain(cell: Cell) -> str:
    return "" if cell.text == MISSING else cell.text


def _groups(columns: Sequence[Column]) -> list[tuple[str, int, int]]:
    """Neighbours of one group: its heading, the first column and how many."""
    found = []
    for group, members in itertools.groupby(enumerate(columns), key=lambda pair: pair[1].group):
        first, *others = [i for i, _ in members]
        found.append((group, first, 1 + len(others)))
    return found


def _caption(table: Table) -> str:
    return " ".join([table.title + ".", *table.notes])


def _latex(text: str) -> str:
    return BOLD.sub(r"\\textbf{\1}", text.translate(LATEX_CHARACTERS))


def _latex_text(cell: Cell) -> str:
    """What a cell shows, with a minus that is not a hyphen."""
    is_negative = cell.number is not None and cell.text.startswith("-")
    return _latex(cell.full_text.replace("-", "−", 1) if is_negative else cell.full_text)


def _html(text: str) -> str:
    return BOLD.sub(r"<b>\1</b>", escape(text))


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _html_head(column: Column) -> str:
    better = f' data-better="{column.better}"' if column.better else ""
    published = " published" if column.title.endswith("(Jax)") else ""
    return f'<th scope="col" class="{column.align}{published}"{better}>{escape(column.title)}</th>'


def _html_cell(cell: Cell, column: Column) -> str:
    classes = [*[column.align] * (column.align == "left"), *filter(None, [cell.verdict.replace(" ", "-")])]
    name = f' class="{" ".join(classes)}"' if classes else ""
    value = "" if cell.number is None else f' data-value="{float(cell.number)!r}"'
    title = f' title="{escape(cell.reason or cell.verdict)}"' if cell.verdict else ""
    return f"<td{name}{value}{title}>{_marked(escape(cell.full_text), cell.rank, HTML_RANKS)}</td>"
