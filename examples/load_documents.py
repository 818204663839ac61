"""Documents of every kind as Markdown, cut in four ways.

$ python examples/load_documents.py
contacts.csv: {'format': 'csv', 'row_count': 2, 'column_count': 3}
ferry.html: {'format': 'html', 'title': 'Ferry to Oslo'}
handbook.pdf: {'format': 'pdf', 'backend': ..., 'strategy': 'fast', 'title': 'Travel handbook', 'page_count': 3}
packing.docx: {'format': 'docx', 'paragraph_count': 7, 'table_count': 1}
rates.xlsx: {'format': 'xlsx', 'sheet_count': 2, 'sheet_names': ['Allowances', 'Fares']}
## Allowances
| country | day | night |
| --- | --- | --- |
| Norway | 68 | 124.5 |
| Germany | 32 | 98 |
| Denmark | 57 | 110 |
recursive: 3 chunks, the second begins: 'the duty\\nphone, +47 555 0142.\\n'
markdown: 3 chunks, the second begins: '## Page 2\\n\\nExpenses\\nKeep every'
sentence: 3 chunks, the second begins: '## Page 2\\n\\nExpenses\\nKeep every'
token: 3 chunks, the second begins: '0142.\\n\\n## Page 2\\n\\nExpenses\\nKee'
under the heading: Packing > In winter
"""

import asyncio
from pathlib import Path

from loom.loader import MarkdownChunker, chunk, load

DOCUMENTS = Path(__file__).parent / "documents"


async def main() -> None:
    documents = {file.name: load(file) for file in sorted(DOCUMENTS.iterdir())}
    for name, document in documents.items():
        print(f"{name}: { {key: value for key, value in document.metadata.items() if key != 'source'} }")
    allowances = chunk(documents["rates.xlsx"].content, strategy="markdown")[0].content
    print(allowances.partition("\n\n")[2].replace("\n\n", "\n"))

    handbook = documents["handbook.pdf"].content
    for strategy, size in {"recursive": 400, "markdown": 400, "sentence": 400, "token": 80}.items():
        chunks = chunk(handbook, strategy=strategy, chunk_size=size, chunk_overlap=size // 10, source="handbook.pdf")
        print(f"{strategy}: {len(chunks)} chunks, the second begins: {chunks[1].content[:30]!r}")

    last = MarkdownChunker().split(documents["packing.docx"].content)[-1]
    print(f"under the heading: {last.metadata['headers']}")


if __name__ == "__main__":
    asyncio.run(main())
