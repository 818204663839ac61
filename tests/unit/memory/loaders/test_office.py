"""Documents of Word and workbooks of Excel, made by the programs' own libraries and by people who mean harm."""

from __future__ import annotations

import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pytest

from memory.core.loaders.base import DocumentError
from memory.core.loaders.docx import load_docx
from memory.core.loaders.excel import load_excel
from memory.core.loaders.formats import load

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'

STRINGS = (
    '<Override PartName="/xl/sharedStrings.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>'
)


def replaced(file: Path, part: str, content: bytes) -> Path:
    """The archive with another content in one part."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**parts, part: content}.items():
            archive.writestr(name, data)
    return file


def body(folder: Path, xml: str, before: str = "") -> Path:
    """A document of Word with this XML as its body."""
    file = folder / "a.docx"
    docx.Document().save(str(file))
    return replaced(file, "word/document.xml", f"{before}<w:document {W}><w:body>{xml}</w:body></w:document>".encode())


def sheet(folder: Path, xml: str, before: str = "", strings: str = "") -> Path:
    """A workbook with this XML as the rows of its sheet."""
    file = folder / "a.xlsx"
    book = openpyxl.Workbook()
    book.active["A1"] = "text"
    book.save(file)
    if strings:
        with zipfile.ZipFile(file) as archive:
            types = archive.read("[Content_Types].xml")
        replaced(file, "[Content_Types].xml", types.replace(b"</Types>", STRINGS.encode() + b"</Types>"))
        replaced(file, "xl/sharedStrings.xml", f"<sst {S}>{strings}</sst>".encode())
    return replaced(
        file,
        "xl/worksheets/sheet1.xml",
        f"{before}<worksheet {S}><sheetData>{xml}</sheetData></worksheet>".encode(),
    )


# Word


def test_headings_lists_and_tables_come_in_their_order(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Handbook", 0)
    document.add_heading("Travel", 1)
    document.add_paragraph("Book early.")
    document.add_paragraph("train", style="List Bullet")
    document.add_paragraph("ferry", style="List Number")
    grid = document.add_table(2, 2)
    for cell, text in zip(grid._cells, ["city", "a|b", "Oslo\nBergen", ""], strict=True):
        cell.text = text
    document.add_heading("Deep", 3)
    document.add_paragraph("")
    document.save(str(tmp_path / "a.docx"))

    loaded = load_docx(tmp_path / "a.docx")

    assert loaded.content == (
        "# Handbook\n\n# Travel\n\nBook early.\n\n- train\n- ferry\n\n"
        "| city | a\\|b |\n| --- | --- |\n| Oslo Bergen |  |\n\n### Deep"
    )
    assert loaded.metadata == {
        "source": str(tmp_path / "a.docx"),
        "format": "docx",
        "paragraph_count": 7,
        "table_count": 1,
    }


def test_tracked_changes_are_read_as_accepted_and_nothing_twice(tmp_path: Path) -> None:
    said = "<w:r><w:t>{}</w:t></w:r>"
    file = body(
        tmp_path,
        f"<w:p>{said.format('We ')}<w:ins>{said.format('now ')}</w:ins>"
        f"<w:del><w:r><w:delText>no</w:delText></w:r></w:del>"
        f"<w:moveFrom>{said.format('gone')}</w:moveFrom><w:hyperlink>{said.format('agree')}</w:hyperlink></w:p>"
        f"<w:sdt><w:sdtContent><w:p>{said.format('Filled in')}</w:p></w:sdtContent></w:sdt>",
    )

    assert load_docx(file).content == "We now agree\n\nFilled in"


def test_levels_of_a_list_are_indented(tmp_path: Path) -> None:
    item = '<w:p><w:pPr><w:numPr><w:ilvl w:val="{}"/></w:numPr></w:pPr><w:r><w:t>x</w:t></w:r></w:p>'

    assert load_docx(body(tmp_path, item.format(0) + item.format(1))).content == "- x\n  - x"


def test_a_style_makes_an_item_of_a_list_and_an_indented_paragraph_is_none(tmp_path: Path) -> None:
    document = docx.Document()
    for style in ("List Bullet", "List Bullet 2", "List Number 3", "List Paragraph", "List Continue", "Heading 9"):
        document.add_paragraph(style, style=style)
    document.save(str(tmp_path / "a.docx"))

    assert load_docx(tmp_path / "a.docx").content == (
        "- List Bullet\n  - List Bullet 2\n    - List Number 3\n\nList Paragraph\n\nList Continue\n\n###### Heading 9"
    )


def test_a_paragraph_can_leave_the_list_of_its_style(tmp_path: Path) -> None:
    left = '<w:pPr><w:pStyle w:val="ListBullet"/><w:numPr><w:numId w:val="0"/></w:numPr></w:pPr>'

    assert load_docx(body(tmp_path, f"<w:p>{left}<w:r><w:t>x</w:t></w:r></w:p>")).content == "x"


def test_a_table_within_a_cell_is_text_and_a_wide_cell_keeps_its_place(tmp_path: Path) -> None:
    cell = "<w:tc>{}<w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    wide = '<w:tcPr><w:gridSpan w:val="2"/></w:tcPr>'
    inner = f"<w:tbl><w:tr>{cell.format('', 'in')}</w:tr></w:tbl>"
    rows = f"<w:tr>{cell.format(wide, 'wide')}{cell.format('', 'b')}</w:tr><w:tr>{cell.format(inner, 'out')}</w:tr>"

    assert load_docx(body(tmp_path, f"<w:tbl>{rows}</w:tbl>")).content == (
        "| wide |  | b |\n| --- | --- | --- |\n| in out |  |  |"
    )


def test_a_cell_of_a_billion_columns_is_no_wider_than_word_allows(tmp_path: Path) -> None:
    wide = '<w:tcPr><w:gridSpan w:val="1000000000"/></w:tcPr>'
    file = body(tmp_path, f"<w:tbl><w:tr><w:tc>{wide}<w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc></w:tr></w:tbl>")

    assert load_docx(file).content.partition("\n")[0].count("|") == 64


# Excel


def test_every_sheet_becomes_a_table_without_the_empty_edges(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Rates"
    book.active["B2"], book.active["C2"] = "city", "a|b"
    book.active["B3"], book.active["D3"] = "Oslo\nBergen", 7.0
    book.active["B5"] = 0.5
    book.active["H9"] = " "
    book.create_sheet("Nothing")
    times = book.create_sheet("Times")
    times.append([date(2026, 1, 2), datetime(2026, 1, 2, 3, 4), True])
    book.save(tmp_path / "plan.xlsx")

    document = load_excel(tmp_path / "plan.xlsx")

    assert document.content == (
        "# plan\n\n## Rates\n\n"
        "| city | a\\|b |  |\n| --- | --- | --- |\n| Oslo Bergen |  | 7 |\n|  |  |  |\n| 0.5 |  |  |"
        "\n\n## Nothing\n\n(empty)\n\n## Times\n\n| 2026-01-02 | 2026-01-02 03:04:00 | True |\n| --- | --- | --- |"
    )
    assert document.metadata == {
        "source": str(tmp_path / "plan.xlsx"),
        "format": "xlsx",
        "sheet_count": 3,
        "sheet_names": ["Rates", "Nothing", "Times"],
    }


def test_a_sheet_that_says_it_is_larger_than_it_is_is_read_as_it_is(tmp_path: Path) -> None:
    file = sheet(tmp_path, '<row r="1"><c r="A1"><v>1</v></c></row>')
    with zipfile.ZipFile(file) as archive:
        xml = archive.read("xl/worksheets/sheet1.xml")
    replaced(
        file, "xl/worksheets/sheet1.xml", xml.replace(b"<sheetData>", b'<dimension ref="A1:XFD1048576"/><sheetData>')
    )

    assert load_excel(file).content == "# a\n\n## Sheet\n\n| 1 |\n| --- |"


# harm

HARM: dict[str, Any] = {
    "rows without an end": lambda folder: sheet(folder, '<row r="99999999999"><c><v>1</v></c></row>'),
    "rows that are too wide": lambda folder: sheet(
        folder, "".join(f'<row r="{n}"><c r="XFD{n}"><v>1</v></c></row>' for n in range(1, 400))
    ),
    "one long text in every cell": lambda folder: sheet(
        folder,
        "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 2_000)),
        strings=f"<si><t>{'x' * 100_000}</t></si>",
    ),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_small_workbook_that_would_fill_the_memory_is_refused(tmp_path: Path, harm: str) -> None:
    with pytest.raises(
        DocumentError, match=r"cannot be read as XLSX: .*(too many cells|more than 1,048,576 rows|letters)"
    ):
        load_excel(HARM[harm](tmp_path))


@pytest.mark.parametrize("part", ["word/document.xml", "word/media/picture.png"])
def test_an_archive_that_unpacks_to_more_than_is_read_is_refused_before_it_is_unpacked(
    tmp_path: Path, part: str
) -> None:
    file = replaced(body(tmp_path, ""), part, b"\0" * 20_000_000)
    assert file.stat().st_size < 1_000_000

    with pytest.raises(DocumentError, match=r"a.docx unpacks to 20,.* bytes; 10,000,000 are read at most"):
        load_docx(file, max_bytes=10_000_000)


def test_an_archive_of_too_many_parts_is_refused(tmp_path: Path) -> None:
    file = body(tmp_path, "")
    with zipfile.ZipFile(file, "a") as archive:
        for number in range(10_001):
            archive.writestr(f"part{number}", b"")

    with pytest.raises(DocumentError, match=r"it has 10,0.. parts; 10,000 are read at most"):
        load_docx(file)


ENTITIES = '<!DOCTYPE x [<!ENTITY a SYSTEM "file://{secret}"><!ENTITY b "{b}"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize("entity", ["&a;", "&c;"])
def test_entities_bring_in_neither_files_nor_more_of_the_same(tmp_path: Path, entity: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP SECRET")
    doctype = ENTITIES.format(secret=secret, b="again")

    word = body(tmp_path, f"<w:p><w:r><w:t>x{entity}</w:t></w:r></w:p>", before=doctype)
    excel = sheet(tmp_path, f'<row r="1"><c r="A1" t="str"><v>{entity}</v></c></row>', before=doctype)

    assert load_docx(word).content in {"", "x"}
    with pytest.raises(DocumentError, match=r"EntitiesForbidden"):
        load_excel(excel)


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx"])
@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_what_is_no_archive_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DocumentError, match=rf"{name} cannot be read as {name[2:].upper()}: File is not a zip file"):
        load(tmp_path / name)


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx"])
def test_an_archive_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("readme", b"hello")

    with pytest.raises(DocumentError, match=r"it has no \[Content_Types\].xml"):
        load(tmp_path / name)


def test_a_workbook_is_no_document_of_word(tmp_path: Path) -> None:
    file = sheet(tmp_path, "")

    with pytest.raises(DocumentError, match=r"a.docx cannot be read as DOCX"):
        load_docx(file.rename(tmp_path / "a.docx"))


def test_a_document_whose_xml_is_broken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"a.docx cannot be read as DOCX"):
        load_docx(body(tmp_path, "<w:p><w:r>"))
