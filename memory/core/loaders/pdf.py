"""PDF, by one of three parsers: `docs/decisions/three-readers-of-pdf.md` says why."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loom.errors import Unavailable
from memory.core.extras import MissingPackage, imported, is_there, missing
from memory.core.loaders import pdfium
from memory.core.loaders.base import MAX_BYTES, Document, file_at

STRATEGIES = ("fast", "hi_res", "ocr_only")
NO_TEXT = "(no extractable text)"
DEFAULT = "unstructured"
LIGHT = "pypdfium2"

_LANGUAGE_MODEL = "en_core_web_sm"


@dataclass(frozen=True, slots=True)
class Pages:
    """What a parser found: the text of each page, and the title that the document gives itself."""

    texts: Sequence[str]
    title: str = ""


def load_pdf(
    path: str | Path,
    *,
    backend: str = DEFAULT,
    strategy: str = "fast",
    languages: list[str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Document:
    """A PDF, page by page.

    `backend` is `unstructured` or `docling`, which look at the layout and can recognize letters in pictures, or
    `pypdfium2`, which gives the text that is in the file. `strategy` and `languages` are for `unstructured`.

    What the parser cannot read gives a RuntimeWarning and an empty document with `extraction_error`. Raises ValueError
    for a backend or strategy that does not exist, and ImportError when the package of this backend is missing: no other
    one stands in for it.
    """
    _check(backend, strategy)
    file = file_at(path, max_bytes)
    metadata = {"source": str(path), "format": "pdf", "backend": backend, "strategy": strategy}
    try:
        pages = BACKENDS[backend](file, strategy, languages)
    except ImportError:
        raise
    except Exception as error:  # a parser that is given anything raises anything
        said = str(error) or type(error).__name__
        warnings.warn(f"{backend} cannot read {path}: {said}", RuntimeWarning, stacklevel=2)
        return Document("", metadata | {"page_count": 0, "extraction_error": said})
    title = pages.title or file.stem
    parts = [f"## Page {number}\n\n{text.strip() or NO_TEXT}" for number, text in enumerate(pages.texts, start=1)]
    return Document(
        "\n\n".join([f"# {title}", *(parts or [NO_TEXT])]),
        metadata | {"title": title, "page_count": len(pages.texts)},
    )


def load_any_pdf(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Document:
    """A PDF by the first backend that is installed."""
    backend = next((name for name in BACKENDS if is_there(name)), None)
    if backend is None:
        raise missing(LIGHT, "documents")
    return load_pdf(path, backend=backend, max_bytes=max_bytes)


def _check(backend: str, strategy: str) -> None:
    if backend not in BACKENDS:
        raise ValueError(f"no backend {backend!r} for PDF; one of {', '.join(BACKENDS)}")
    if strategy not in STRATEGIES:
        raise ValueError(f"no strategy {strategy!r} for PDF; one of {', '.join(STRATEGIES)}")
    if backend == LIGHT and strategy != "fast":
        raise ValueError(f"{LIGHT} has no strategy {strategy!r}: it only takes what text there is; use {DEFAULT}")


def _unstructured(file: Path, strategy: str, languages: list[str] | None) -> Pages:
    os.environ.setdefault("SCARF_NO_ANALYTICS", "true")  # else it reports every use to its maker
    os.environ.setdefault("UNSTRUCTURED_DISABLE_NOTICE", "1")  # else it prints an advertisement
    try:
        parser = imported("unstructured.partition.pdf", extra="loader-pdf")
    except MissingPackage as error:
        light = f"or use backend={LIGHT!r}, which 'loom[documents]' brings"
        raise MissingPackage(f"{error}, {light}", **error.facts) from error
    try:
        elements = parser.partition_pdf(filename=str(file), strategy=strategy, languages=languages)
    except ImportError as error:  # it looks for some of its packages only when it needs them
        raise missing("unstructured", "loader-pdf", str(error)) from error
    if not elements and is_there("spacy") and not is_there(_LANGUAGE_MODEL):  # it then finds nothing, and says nothing
        raise Unavailable(f"unstructured could not fetch its language model {_LANGUAGE_MODEL}: it is on GitHub")
    texts: list[list[str]] = []
    for element in elements:
        number = max(getattr(element.metadata, "page_number", None) or len(texts), 1)
        texts += [[] for _ in range(number - len(texts))]
        texts[number - 1].append(_marked(element))
    return Pages(["\n\n".join(filter(None, parts)) for parts in texts])


def _marked(element: Any) -> str:
    text = str(element).strip()
    mark = {"Title": "### ", "ListItem": "- "}.get(getattr(element, "category", ""), "")
    return f"{mark}{text}" if text else ""


def _docling(file: Path, strategy: str, languages: list[str] | None) -> Pages:
    converter = imported("docling.document_converter", extra="loader-pdf-docling")
    result = converter.DocumentConverter().convert(str(file))
    for failure in getattr(result, "errors", None) or []:
        warnings.warn(f"docling: {file}: {failure.error_message}", RuntimeWarning, stacklevel=3)
    document = result.document
    return Pages([document.export_to_markdown(page_no=number) for number in sorted(document.pages)])


def _pypdfium2(file: Path, strategy: str, languages: list[str] | None) -> Pages:
    if not is_there(LIGHT):
        raise missing(LIGHT, "documents")
    found = pdfium.read(file)
    for number, failure in found.failures.items():
        warnings.warn(f"page {number} of {file} cannot be read: {failure}", RuntimeWarning, stacklevel=3)
    return Pages(found.texts, found.title)


BACKENDS: dict[str, Callable[[Path, str, list[str] | None], Pages]] = {
    DEFAULT: _unstructured,
    "docling": _docling,
    LIGHT: _pypdfium2,
}
