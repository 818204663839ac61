"""Large values in journals: stored once, given back whole, gone with the last event that names them."""

from __future__ import annotations

from typing import Any

import pytest

from agents import services
from agents.core.runtime.blobs import LIMIT, VERSION
from agents.models import Blob, Run, RunEvent
from loom.errors import RuntimeJournalError
from loom.events import Record

PAGE = "A page of the archive. " * (LIMIT // 10)


def told(text: str = PAGE) -> Record:
    return Record(kind="tool.completed", step_key="turn:1/tool:call_1", data={"value": {"ok": True, "output": text}})


def test_a_large_value_is_stored_once_for_a_tenant_and_read_whole(acme: Any) -> None:
    acme.agent()
    runs = []
    for _ in range(2):
        runs.append(acme.run())
        acme.work(runs[-1])(told(), told())

    with acme.scope():
        assert Blob.objects.count() == 1
        for run in runs:
            assert [record.data for record in services.read_records(run.pk)[1:]] == [told().data] * 2
            assert all(len(str(event.data)) < 500 for event in RunEvent.objects.filter(run=run))


def test_rest_and_streams_give_a_large_value_back_whole(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    acme.work(run)(told(), Record(kind="run.succeeded", data={"output": PAGE, "parsed": None}))

    listed = acme.client().get(f"/api/v1/runs/{run.pk}/events").json()["items"]

    assert listed[1]["data"]["value"]["output"] == PAGE
    assert listed[2]["data"]["output"] == PAGE


def test_another_tenant_has_a_copy_of_its_own(acme: Any, globex: Any) -> None:
    for place in (acme, globex):
        place.agent()
        place.work(place.run())(told())

    with acme.scope():
        assert Blob.objects.count() == 1
        Run.objects.all().delete()
        assert services.drop_orphan_blobs() == 1
    with globex.scope():
        assert Blob.objects.count() == 1


def test_a_value_goes_when_the_last_event_that_names_it_has_gone(acme: Any) -> None:
    acme.agent()
    first = acme.run()
    acme.work(first)(told())
    second = acme.run()
    acme.work(second)(told(), told(PAGE + "!"))

    with acme.scope():
        assert services.drop_orphan_blobs() == 0
        second.delete()
        assert services.drop_orphan_blobs() == 1
        assert services.read_records(first.pk)[1].data == told().data
        first.delete()
        assert services.drop_orphan_blobs() == 1
        assert not Blob.objects.exists()


def test_an_event_of_later_code_is_refused(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    acme.work(run)(told("short"))

    with acme.scope():
        RunEvent.objects.filter(run=run, seq=2).update(version=VERSION + 1)
        with pytest.raises(RuntimeJournalError, match="update loom"):
            services.read_records(run.pk)
