"""PDF: what the pages say, by which parser, and what becomes of files that are broken or mean harm.

`unstructured` and `docling` bring gigabytes and fetch models, so stand-ins with their signatures play them here.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from memory.core.loaders import pdfium
from memory.core.loaders.base import DocumentError
from memory.core.loaders.formats import load
from memory.core.loaders.pdf import load_pdf


def pdf(folder: Path, *contents: str, title: str = "", more: str = "", name: str = "rules.pdf") -> Path:
    """A PDF whose pages have these contents."""
    kids = [f"{5 + 2 * number} 0 R" for number in range(len(contents))]
    bodies = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{' '.join(kids)}]/Count {len(kids)}>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        f"<</Title({title})>>".encode(),
    ]
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>{more}>>"
    for number, content in enumerate(contents):
        bodies += [f"{page}/Contents {6 + 2 * number} 0 R>>".encode(), stream(content)]
    if more:
        bodies.append(
            stream("BT /F 1 Tf 10 10 Td (" + "hello " * 2_000 + ") Tj ET", "/Type/XObject/Subtype/Form/BBox[0 0 9 9]")
        )
    data, places = b"%PDF-1.7\n", []
    for number, written in enumerate(bodies, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, written)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    tail = b"trailer<</Size %d/Root 1 0 R/Info 4 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(bodies) + 1, len(data))
    file = folder / name
    file.write_bytes(data + b"xref\n0 %d\n0000000000 65535 f \n%s%s" % (len(bodies) + 1, table, tail))
    return file


def stream(content: str, more: str = "") -> bytes:
    packed = zlib.compress(content.encode())
    return f"<<{more}/Length {len(packed)}/Filter/FlateDecode>>stream\n".encode() + packed + b"\nendstream"


def line(text: str) -> str:
    return f"BT /F 12 Tf 50 700 Td ({text}) Tj ET"


def test_a_pdf_is_read_page_by_page_under_its_title(tmp_path: Path) -> None:
    file = pdf(tmp_path, line("Two people approve."), "", line("Within thirty days."), title="House  rules")

    document = load_pdf(file, backend="pypdfium2")

    assert document.content == (
        "# House rules\n\n## Page 1\n\nTwo people approve.\n\n## Page 2\n\n(no extractable text)\n\n"
        "## Page 3\n\nWithin thirty days."
    )
    assert document.metadata == {
        "source": str(file),
        "format": "pdf",
        "title": "House rules",
        "page_count": 3,
        "backend": "pypdfium2",
        "strategy": "fast",
    }


def test_a_pdf_without_a_title_has_its_name(tmp_path: Path) -> None:
    assert load_pdf(pdf(tmp_path, line("x")), backend="pypdfium2").content.startswith("# rules\n")


@pytest.mark.parametrize("content", [b"", b"no pdf", b"%PDF-1.7\n%%EOF"])
def test_what_cannot_be_read_is_an_empty_document_that_says_why(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(content)

    with pytest.warns(RuntimeWarning, match=r"pypdfium2 cannot read .*a\.pdf: Failed to load document"):
        document = load_pdf(file, backend="pypdfium2")

    assert (document.content, document.metadata["page_count"]) == ("", 0)
    assert document.metadata["extraction_error"].startswith("Failed to load document")


def test_a_pdf_that_fills_the_memory_takes_no_more_than_it_may_and_not_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdfium, "MEMORY_BYTES", 200 << 20)
    file = pdf(tmp_path, "/X Do\n" * 5_000, more="/XObject<</X 7 0 R>>")
    assert file.stat().st_size < 2_000

    with pytest.warns(RuntimeWarning, match=r"it took more than 200 MiB or 60 seconds, or broke the parser"):
        document = load_pdf(file, backend="pypdfium2")

    assert document.content == ""


def test_a_pdf_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdfium, "CPU_SECONDS", 1)
    file = pdf(tmp_path, "/X Do\n" * 100_000, more="/XObject<</X 7 0 R>>")
    monkeypatch.setattr(pdfium, "MEMORY_BYTES", 64 << 30)

    with pytest.warns(RuntimeWarning, match=r"more than .* seconds"):
        assert load_pdf(file, backend="pypdfium2").content == ""


def test_a_pdf_of_too_many_letters_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdfium, "MAX_LETTERS", 9)

    with pytest.warns(RuntimeWarning, match=r"it has more than 9 letters"):
        load_pdf(pdf(tmp_path, line("twelve chars")), backend="pypdfium2")


def test_the_parser_knows_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = tmp_path / "child.py"
    shown.write_text("import os, json; print(json.dumps({'title': '', 'texts': sorted(os.environ), 'failures': {}}))")
    monkeypatch.setattr(pdfium, "_CHILD", str(shown))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    assert set(pdfium.read(pdf(tmp_path, "")).texts) <= {"LC_CTYPE"}


def test_a_page_that_cannot_be_read_gives_a_warning_and_not_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdfium, "read", lambda file: pdfium.Found("", ["one", ""], {2: "broken stream"}))

    with pytest.warns(RuntimeWarning, match=r"page 2 of .*rules\.pdf cannot be read: broken stream"):
        document = load_pdf(pdf(tmp_path, "", ""), backend="pypdfium2")

    assert document.content.endswith("## Page 1\n\none\n\n## Page 2\n\n(no extractable text)")


def test_a_pdf_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"100 are read at most"):
        load_pdf(pdf(tmp_path, ""), backend="pypdfium2", max_bytes=100)


@pytest.mark.parametrize(
    ("backend", "strategy", "message"),
    [
        ("acrobat", "fast", "no backend 'acrobat' for PDF; one of unstructured, docling, pypdfium2"),
        ("unstructured", "slow", "no strategy 'slow' for PDF; one of fast, hi_res, ocr_only"),
        ("pypdfium2", "ocr_only", "pypdfium2 has no strategy 'ocr_only'.*use unstructured"),
    ],
)
def test_a_backend_or_strategy_that_does_not_exist_is_refused(
    tmp_path: Path, backend: str, strategy: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_pdf(tmp_path / "a.pdf", backend=backend, strategy=strategy)


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("unstructured", r"'loom\[loader-pdf\]', or use backend='pypdfium2', which 'loom\[documents\]' brings"),
        ("docling", r"'loom\[loader-pdf-docling\]'"),
        ("pypdfium2", r"'loom\[documents\]'"),
    ],
)
def test_no_other_parser_stands_in_for_one_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, backend, None)

    with pytest.raises(ImportError, match=message):
        load_pdf(pdf(tmp_path, ""), backend=backend)


def test_a_pdf_of_no_named_backend_is_read_by_the_first_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pdf(tmp_path, line("x"))
    monkeypatch.setitem(sys.modules, "unstructured", None)
    monkeypatch.setitem(sys.modules, "docling", None)

    assert load(file).metadata["backend"] == "pypdfium2"
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(ImportError, match=r"'loom\[documents\]'"):
        load(file)


# stand-ins


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **names: Any) -> None:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = ModuleType(".".join(parts[:end]))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module).update(names)


class Element:
    def __init__(self, text: str, category: str, page: int | None) -> None:
        self.text, self.category, self.metadata = text, category, SimpleNamespace(page_number=page)

    def __str__(self) -> str:
        return self.text


def test_unstructured_is_asked_with_strategy_and_languages_and_its_elements_are_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def partition_pdf(**given: Any) -> list[Element]:
        asked.update(given)
        return [
            Element("Rules", "Title", 1),
            Element("one", "ListItem", 1),
            Element("Text.", "NarrativeText", 3),
            Element("", "PageBreak", None),
        ]

    stand_in(monkeypatch, "unstructured.partition.pdf", partition_pdf=partition_pdf)
    monkeypatch.delenv("SCARF_NO_ANALYTICS", raising=False)
    file = pdf(tmp_path, "")

    document = load_pdf(file, strategy="hi_res", languages=["deu"])

    assert asked == {"filename": str(file), "strategy": "hi_res", "languages": ["deu"]}
    assert document.content == (
        "# rules\n\n## Page 1\n\n### Rules\n\n- one\n\n## Page 2\n\n(no extractable text)\n\n## Page 3\n\nText."
    )
    assert (document.metadata["backend"], document.metadata["strategy"]) == ("unstructured", "hi_res")
    assert load(file).metadata["backend"] == "unstructured"


def test_unstructured_reports_nothing_to_its_maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("SCARF_NO_ANALYTICS", "")  # so that it is put back as it was
    monkeypatch.delenv("SCARF_NO_ANALYTICS")
    seen: list[str | None] = []
    stand_in(
        monkeypatch,
        "unstructured.partition.pdf",
        partition_pdf=lambda **given: seen.append(os.environ.get("SCARF_NO_ANALYTICS")) or [],
    )

    document = load_pdf(pdf(tmp_path, ""))

    assert seen == ["true"]
    assert document.content == "# rules\n\n(no extractable text)"


def test_a_language_model_that_unstructured_could_not_fetch_is_no_empty_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "unstructured.partition.pdf", partition_pdf=lambda **given: [])
    stand_in(monkeypatch, "spacy")
    monkeypatch.setitem(sys.modules, "en_core_web_sm", None)

    with pytest.warns(RuntimeWarning, match=r"could not fetch its language model en_core_web_sm"):
        assert "language model" in load_pdf(pdf(tmp_path, "")).metadata["extraction_error"]
    stand_in(monkeypatch, "en_core_web_sm")
    assert load_pdf(pdf(tmp_path, "")).content == "# rules\n\n(no extractable text)"


@pytest.mark.parametrize(
    ("failure", "kind"), [(ValueError("bad xref"), RuntimeWarning), (ImportError("no cv2"), ImportError)]
)
def test_what_unstructured_fails_with_is_a_warning_unless_a_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[Exception]
) -> None:
    def fail(**given: Any) -> None:
        raise failure

    stand_in(monkeypatch, "unstructured.partition.pdf", partition_pdf=fail)

    if kind is ImportError:
        with pytest.raises(ImportError, match=r"no cv2.*loom\[loader-pdf\]"):
            load_pdf(pdf(tmp_path, ""))
    else:
        with pytest.warns(RuntimeWarning, match=r"bad xref"):
            assert load_pdf(pdf(tmp_path, "")).metadata["extraction_error"] == "bad xref"


def test_docling_gives_markdown_page_by_page_and_says_what_it_could_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DocumentConverter:
        def convert(self, source: str) -> Any:
            document = SimpleNamespace(
                pages={2: None, 1: None}, export_to_markdown=lambda page_no: f"of page {page_no}"
            )
            return SimpleNamespace(document=document, errors=[SimpleNamespace(error_message="no table on page 2")])

    stand_in(monkeypatch, "docling.document_converter", DocumentConverter=DocumentConverter)

    with pytest.warns(RuntimeWarning, match=r"docling: .*no table on page 2"):
        document = load_pdf(pdf(tmp_path, ""), backend="docling")

    assert document.content == "# rules\n\n## Page 1\n\nof page 1\n\n## Page 2\n\nof page 2"
