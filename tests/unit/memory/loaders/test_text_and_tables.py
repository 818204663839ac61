"""Plain text, Markdown and values in columns."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from memory.core.extras import MissingPackage
from memory.core.loaders.base import Document, DocumentError
from memory.core.loaders.csv import load_csv, load_tsv
from memory.core.loaders.formats import load
from memory.core.loaders.tables import MAX_CELLS, table
from memory.core.loaders.text import load_markdown, load_text


def test_a_document_is_as_long_as_its_text_and_there_even_when_empty() -> None:
    assert len(Document("abc")) == 3
    assert Document("")
    assert Document("").metadata == {}


def test_a_text_gets_its_name_as_the_heading(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("one\ntwo\n", encoding="utf-8")

    document = load_text(file)

    assert document.content == "# notes.txt\n\none\ntwo\n"
    assert document.metadata == {"source": str(file), "format": "text", "byte_count": 8, "line_count": 2}


def test_markdown_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_text("# Ärger\n", encoding="utf-8")

    document = load_markdown(str(file))

    assert document.content == "# Ärger\n"
    assert document.metadata == {"source": str(file), "format": "markdown", "byte_count": 9, "line_count": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_text_is_read_in_the_encoding_in_which_it_was_written(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "a.md"
    file.write_bytes("5 € für Ärger\r\nund\rmehr".encode(encoding))

    assert load_markdown(file).content == "5 € für Ärger\nund\nmehr"


def test_values_become_a_table_whose_rows_are_equally_long(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('name,note\nann,"a|b\nc"\n\nben\n', encoding="utf-8")

    document = load_csv(file)

    assert document.content == "| name | note |\n| --- | --- |\n| ann | a\\|b c |\n| ben |  |"
    assert document.metadata == {"source": str(file), "format": "csv", "row_count": 2, "column_count": 2}


def test_values_are_separated_by_tabs_too(tmp_path: Path) -> None:
    file = tmp_path / "a.tsv"
    file.write_text("a,b\tc\n1\t2\n", encoding="utf-8")

    document = load_tsv(file)

    assert document.content == "| a,b | c |\n| --- | --- |\n| 1 | 2 |"
    assert document.metadata["format"] == "tsv"


def test_without_values_there_is_no_table(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("\n\n")

    document = load_csv(file)

    assert document.content == "(empty)"
    assert (document.metadata["row_count"], document.metadata["column_count"]) == (0, 0)


def test_values_that_are_not_readable_are_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x" * 200_000)

    with pytest.raises(DocumentError, match=r"a.csv is not readable as CSV: field larger"):
        load_csv(file)


def test_a_table_that_would_fill_the_memory_is_refused_before_it_does(tmp_path: Path) -> None:
    wide, long = ["x"] * 10_000, [["x"]] * 1_000
    file = tmp_path / "a.csv"
    file.write_text("," * (MAX_CELLS + 1))

    with pytest.raises(DocumentError, match=r"1,001 rows and 10,000 columns has too many cells"):
        table([wide, *long])
    with pytest.raises(DocumentError, match=r"too many cells"):
        load_csv(file)


def test_no_more_of_a_file_is_read_than_asked(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("12345")

    with pytest.raises(DocumentError, match=r"a.txt has 5 bytes; 4 are read at most: split it, or give max_bytes="):
        load(file, max_bytes=4)
    assert load(file, max_bytes=5).content.endswith("12345")


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="there is no /proc")
def test_a_file_that_says_nothing_of_its_size_is_read_no_further_either() -> None:
    with pytest.raises(DocumentError, match=r"/proc/meminfo has more bytes than it says; 10 are read at most"):
        load_text("/proc/meminfo", max_bytes=10)


def test_white_space_within_a_cell_stays_unless_it_ends_lines() -> None:
    spaces = " " * 300_000

    assert table([["a \r\n\n b\u2028c"]]) == "| a b c |\n| --- |"
    assert table([[f"a{spaces}b"]]) == f"| a{spaces}b |\n| --- |"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.tsv", "a.docx", "a.xlsx", "a.html", "a.pdf"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no document at .*{name}"):
        load(tmp_path / name)


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "a.md").mkdir()

    with pytest.raises(DocumentError, match=r"is not a file"):
        load(tmp_path / "a.md")


@pytest.mark.parametrize(("name", "kind"), [("a.TXT", "text"), ("a.markdown", "markdown"), ("a.csv", "csv")])
def test_the_loader_is_chosen_by_the_extension(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_text("a")

    assert load(tmp_path / name).metadata["format"] == kind


def test_an_extension_that_nothing_reads_is_refused_with_those_that_are_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing reads 'a.exe'; supported are .pdf, .docx, .xlsx, .xlsm, .csv, .tsv"):
        load("a.exe")


@pytest.mark.parametrize(
    ("name", "package"), [("a.docx", "docx"), ("a.xlsx", "openpyxl"), ("a.html", "html_to_markdown")]
)
def test_a_package_that_is_missing_is_named_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    (tmp_path / name).write_text("")
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ImportError, match=rf"{package} is not installed .*: pip install 'loom\[documents\]'") as caught:
        load(tmp_path / name)
    assert isinstance(caught.value, MissingPackage)
