"""One table in four formats: what is shown, marked, escaped and kept for sorting."""

import csv
import html.parser
import io
import re

import numpy as np
import pytest

from mipnerf.report.tables.formats import html_page, latex_page, markdown_page, to_csv, to_html, to_latex, to_markdown
from mipnerf.report.tables.table import MISSING, Cell, Column, Table, ranked

COLUMNS = [
    Column("Method", align="left"),
    Column("Full", "PSNR ↑", better="higher"),
    Column("1/2", "PSNR ↑", better="higher"),
    Column("Hours"),
]


def number(value: float) -> Cell:
    return Cell(f"{value:.2f}", value)


@pytest.fixture
def table() -> Table:
    rows = [
        [Cell("a_b & <c> | 5%"), Cell("30.12", 30.1234, spread="0.05", verdict="within spread"), number(31), Cell("1")],
        [Cell("b"), Cell("30.12", np.float64(30.1199), verdict="equal"), number(33), Cell(MISSING)],
        [Cell("c"), number(29), number(32), Cell("3")],
        [Cell("d-e"), Cell(MISSING), number(-30), Cell("4")],
    ]
    return Table("table_x", "A title & more", COLUMNS, ranked(rows, COLUMNS), ["**A note:** ±, 50 % <of> _it_."], [2])


def test_equal_digits_share_a_rank_and_the_next_comes_after_them(table):
    assert [[cell.rank for cell in row[1:3]] for row in table.rows] == [[1, 3], [1, 1], [3, 2], [None, None]]
    lower = [Column("x", better="lower")]
    assert [row[0].rank for row in ranked([[number(2)], [number(1)]], lower)] == [2, 1]
    assert [row[0].rank for row in ranked([[number(2)], [number(1)]], lower, places=1)] == [None, 1]
    assert ranked([[number(2)], [Cell(MISSING)]], lower)[0][0].rank is None


def test_markdown(table):
    lines = to_markdown(table).splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]
    assert cells[0] == ["Method", "PSNR ↑ Full", "PSNR ↑ 1/2", "Hours"]
    assert cells[2] == [r"a_b & <c> \| 5%", "**30.12 ± 0.05**", "*31.00*", "1"]
    assert cells[4] == ["c", "*29.00*", "<ins>32.00</ins>", "3"]
    page = markdown_page([table, table])
    assert page.count("## A title & more\n\n| Method") == 2
    assert page.endswith("**A note:** ±, 50 % <of> _it_.\n")


def test_csv_is_what_is_shown_with_spreads_apart(table):
    header, first, second, *_ = csv.reader(io.StringIO(to_csv(table)))
    assert header == ["Method", "PSNR Full", "PSNR Full ±", "PSNR 1/2", "Hours"]
    assert first == ["a_b & <c> | 5%", "30.12", "0.05", "31.00", "1"]
    assert second == ["b", "30.12", "", "33.00", ""]


def test_latex_is_booktabs_with_everything_escaped(table):
    text = to_latex(table)
    assert (
        r"a\_b \& \textless{}c\textgreater{} \textbar{} 5\% & \textbf{30.12 $\pm$ 0.05} & \textit{31.00} & 1 \\" in text
    )
    assert r"\multicolumn{1}{c}{} & \multicolumn{2}{c}{PSNR $\uparrow$} & \multicolumn{1}{c}{} \\" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert r"\caption{A title \& more. \textbf{A note:} $\pm$, 50 \% \textless{}of\textgreater{} \_it\_.}" in text
    assert r"\begin{tabular}{lrrr}" in text
    assert r"d-e & --- & $-$30.00 & 4 \\" in text
    assert text.index(r"\addlinespace") > text.index("33.00")
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert all(len(re.findall(r"(?<!\\)&", line)) == 3 for line in body.splitlines() if line.endswith(r"\\"))
    assert not re.search(r"[^\x00-\x7f]", text)
    assert latex_page([table]).startswith("% needs \\usepackage{adjustbox,booktabs}\n\\begin{table}")


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and the text of cells; fails where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)
        if tag in ("td", "th"):
            self.texts.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.texts[-1] += data


def test_html_is_escaped_and_keeps_numbers_unrounded(table):
    text = to_html(table)
    parsed = Tags(text)
    assert "a_b & <c> | 5%" in parsed.texts
    assert "<c>" not in text
    assert "<b>A note:</b> ±" in text
    assert "<of>" not in text
    cells = [attributes for tag, attributes in parsed.tags if tag == "td" and "colspan" not in attributes]
    assert cells[1] == {"class": "within-spread", "data-value": "30.1234", "title": "within spread"}
    assert cells[5]["data-value"] == "30.1199"
    assert "<b>30.12 ± 0.05</b>" in text
    assert "<u>32.00</u>" in text
    assert "<i>31.00</i>" in text
    assert ("th", {"colspan": "2", "scope": "colgroup"}) in parsed.tags
    assert ("tr", {"class": "block"}) in parsed.tags
    page = Tags(html_page("Tables <1>", [table, table]))
    assert [tag for tag, _ in page.tags].count("table") == 2
    assert not {"script", "link", "img"} & {tag for tag, _ in page.tags}
