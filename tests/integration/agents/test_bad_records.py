"""A record that the database refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

import anyio
import pytest
from django.db import DataError

from agents.adapters import JournalWriter
from agents.core.runtime.writer import Append
from loom.errors import Invalid
from loom.events import Record

TENANT = uuid4()


async def test_one_runs_bad_record_refuses_that_run_and_no_other() -> None:
    written: list[UUID] = []

    async def write(tenant_id: UUID, appends: Sequence[Append]) -> Mapping[UUID, int]:
        await anyio.sleep(0)
        if any(record.kind == "bad" for append in appends for record in append.records):
            raise DataError("value too long")
        written.extend(append.run_id for append in appends)
        return {append.run_id: 0 for append in appends}

    async with anyio.create_task_group() as group:
        writer = JournalWriter(write, group)
        good, bad = writer.journal(TENANT, uuid4(), 1), writer.journal(TENANT, uuid4(), 1)
        good.post(Record(kind="good"))
        bad.post(Record(kind="bad"))

        await good.flush()
        with pytest.raises(Invalid, match="cannot be stored"):
            await bad.flush()

    assert written == [good.run_id]
