"""The program that reads one PDF, started by `pdfium`: the request on standard input, the answer on standard output."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any


def main() -> None:
    request = json.load(sys.stdin.buffer)
    for name, limit in (
        (resource.RLIMIT_AS, request["memory_bytes"]),
        (resource.RLIMIT_CPU, request["cpu_seconds"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(name)
        least = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(name, (least, least))
    sys.path += [path for path in request["sys_path"] if path not in sys.path]
    try:
        answer = _read(request["file"], request["max_letters"])
    except Exception as error:  # told to the parent, whatever it is
        sys.exit(str(error) or type(error).__name__)
    json.dump(answer, sys.stdout)


def _read(file: str, max_letters: int) -> dict[str, Any]:
    from pypdfium2 import PdfDocument

    document = PdfDocument(file)
    texts: list[str] = []
    failures: dict[int, str] = {}
    left = max_letters
    for number in range(len(document)):
        try:
            page = document[number]
            text = page.get_textpage().get_text_bounded()
            page.close()
        except Exception as error:  # one page less
            text, failures[number + 1] = "", str(error) or type(error).__name__
        left -= len(text)
        if left < 0:
            raise ValueError(f"it has more than {max_letters:,} letters")
        texts.append(text.replace("\r\n", "\n"))
    return {"title": " ".join(document.get_metadata_value("Title").split()), "texts": texts, "failures": failures}


if __name__ == "__main__":
    main()
