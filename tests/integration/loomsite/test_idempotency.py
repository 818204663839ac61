"""A POST under an Idempotency-Key is done once, however often it is sent."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from agents.models import Run
from governance import services as governance
from governance.models import ApiKey, IdempotentRequest

RUNS = "/api/v1/runs"
RUN = {"agent": "assistant", "input": "hello"}


def _post(client: Any, key: str, body: Any = RUN, path: str = RUNS) -> Any:
    return client.post(path, body, headers={"Idempotency-Key": key})


def _runs(place: Any) -> int:
    with place.scope():
        return Run.objects.count()


def test_the_second_request_gets_the_first_ones_answer(acme: Any) -> None:
    acme.agent()

    first, second = (_post(acme.client(), "k1") for _ in range(2))

    assert (second.status_code, second.content) == (202, first.content)
    assert (first.get("Idempotent-Replayed"), second["Idempotent-Replayed"]) == (None, "true")
    assert second["Content-Type"] == first["Content-Type"]
    assert _runs(acme) == 1


def test_a_key_is_the_same_bare_and_as_a_structured_string(acme: Any) -> None:
    acme.agent()

    first, second = _post(acme.client(), "k-1"), _post(acme.client(), '"k-1"')

    assert first.json()["id"] == second.json()["id"]


@pytest.mark.parametrize("key", ["", '""', '"a', "a b", "é", "x" * 256, '"a"b'])
def test_a_key_that_is_none_is_refused(acme: Any, key: str) -> None:
    acme.agent()

    response = _post(acme.client(), key)

    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/header/Idempotency-Key")
    assert _runs(acme) == 0


def test_another_body_under_the_same_key_is_refused(acme: Any) -> None:
    acme.agent()
    _post(acme.client(), "k1")

    response = _post(acme.client(), "k1", {**RUN, "input": "other"})

    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/header/Idempotency-Key")
    assert _runs(acme) == 1


def test_the_same_key_for_another_thing_is_refused(acme: Any) -> None:
    acme.agent("one")
    acme.agent("two")
    body = {"spec": {"model": "echo", "instructions": "new"}}

    first = _post(acme.client(), "k1", body, "/api/v1/agents/one/versions")
    second = _post(acme.client(), "k1", body, "/api/v1/agents/two/versions")

    assert (first.status_code, second.status_code) == (201, 422)


def test_a_key_is_its_callers_own(acme: Any, globex: Any) -> None:
    for place in (acme, globex):
        place.agent()

    callers = [acme.client(), acme.client(acme.key("run")[1]), acme.member("ann"), globex.client()]
    ids = {_post(caller, "k1").json()["id"] for caller in callers}

    assert len(ids) == 4
    assert (_runs(acme), _runs(globex)) == (3, 1)


def test_a_stored_answer_is_for_those_only_who_may_ask(acme: Any) -> None:
    acme.agent()
    ann = acme.member("ann")
    _post(ann, "k1")
    with acme.scope():
        governance.add_member(tenant=acme.tenant, user=acme.people["ann"], role="viewer", by="test")

    assert _post(ann, "k1").status_code == 403


def test_a_request_that_failed_may_be_sent_again(acme: Any) -> None:
    refused = _post(acme.client(), "k1")
    acme.agent()

    accepted = _post(acme.client(), "k1")

    assert (refused.status_code, accepted.status_code) == (404, 202)


def test_a_token_is_in_the_first_answer_only_and_not_kept(acme: Any) -> None:
    body = {"name": "ci", "scopes": ["read"]}

    first, second = (_post(acme.client(), "k1", body, "/api/v1/keys").json() for _ in range(2))

    assert first["token"].startswith("loom_")
    assert second == {**first, "token": None}
    with acme.scope():
        assert ApiKey.objects.filter(name="ci").count() == 1
        assert first["token"] not in IdempotentRequest.objects.get().body


def test_an_equal_request_that_takes_its_time_is_told_to_come_back(
    acme: Any, committed_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.agent()
    monkeypatch.setattr(governance, "PATIENCE", "200ms")
    body = json.dumps(RUN)
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with acme.scope():
            governance.claim_request(
                tenant=acme.tenant,
                principal=f"key:{acme.token.split('_')[1]}",
                route="POST api/v1/runs",
                key="k1",
                fingerprint="x",
            )
            begun.set()
            over.wait(30)
        connection.close()

    with ThreadPoolExecutor(1) as other:
        held = other.submit(hold)
        begun.wait(30)
        response = _post(acme.client(), "k1", body)
        over.set()
        held.result()

    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert response["Retry-After"] == "1"
    assert _runs(acme) == 0


def test_a_hundred_equal_requests_at_once_make_one_run(acme: Any, committed_db: None) -> None:
    acme.agent()
    together = threading.Barrier(100)

    def post(_: int) -> Any:
        together.wait()
        try:
            while (answer := _post(acme.client(), "k1")).status_code == 503:  # more come at once than are let in
                time.sleep(float(answer["Retry-After"]))
            return answer
        finally:
            connection.close()

    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(post, range(100)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer for answer in answers) == 1
    assert _runs(acme) == 1


def test_a_request_that_died_before_its_answer_leaves_the_key_free(
    acme: Any, committed_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.agent()

    def die(*_: Any, **__: Any) -> None:
        connection.connection.close()  # what a server's death looks like from the database
        raise SystemError

    with monkeypatch.context() as patch:
        patch.setattr(governance, "settle_request", die)
        died = _post(acme.client(), "k1")
    connection.close()
    runs_then = _runs(acme)

    again = _post(acme.client(), "k1")

    assert (died.status_code >= 500, runs_then) == (True, 0)
    assert (again.status_code, again.get("Idempotent-Replayed"), _runs(acme)) == (202, None, 1)
