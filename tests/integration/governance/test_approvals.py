"""Questions to people: who decides, what counts, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from agents import services as agents
from agents.models import AgentVersion, Run, RunEvent
from audit.models import Entry
from governance import services, tenancy
from governance.auth import Principal
from governance.models import Approval
from loom.errors import Conflict, Denied, Invalid, NotFound
from loom.events import Kind


@pytest.fixture
def ask(acme: Any) -> Any:
    """Have a run of Ann's ask a question, under a policy of these rules."""
    acme.agent()

    def ask(started_by: str = "user:somebody", **rules: Any) -> Approval:
        policy = None
        if rules:
            with acme.scope():
                policy = services.create_policy(tenant=acme.tenant, name="p", by="test", **rules).name
        with acme.scope():
            run = acme.run()
            Run.objects.filter(pk=run.pk).update(started_by=started_by)
        return acme.question(run, policy=policy)

    return ask


def decide(place: Any, approval: Approval, decision: str = "approve", *, by: Any = "ann", **more: Any) -> Approval:
    principal = by if isinstance(by, Principal) else place.principal(by)
    with place.scope():
        return services.decide_approval(
            principal=principal,
            approval_id=approval.pk,
            decision=decision,
            **{"args_hash": approval.args_hash, **more},
        )


def journal(place: Any, run_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    with place.scope():
        return list(RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("kind", "data"))


def status_of(place: Any, run_id: UUID) -> str:
    with place.scope():
        return str(Run.objects.get(pk=run_id).status)


def colleague(place: Any, name: str, role: str = "operator") -> Principal:
    return Principal(place.tenant, f"user:{name}", frozenset({"read", "approve"}), role)


def test_a_question_is_shown_with_all_that_a_decision_is_bound_to(acme: Any, ask: Any) -> None:
    approval = ask()

    shown = acme.client().get(f"/api/v1/approvals/{approval.pk}").json()
    run = acme.client().get(f"/api/v1/runs/{approval.run_id}").json()

    assert (shown["tool"], shown["args"], shown["args_hash"]) == ("pay", {"amount": 5}, approval.args_hash)
    assert (shown["status"], shown["risk"], shown["policy"], shown["needed"]) == ("pending", "medium", "default", 1)
    assert shown["agent"] == "assistant@1"
    assert shown["schema"]["required"] == ["amount"]
    assert (run["status"], run["waiting_for"]) == ("waiting", [str(approval.pk)])


def test_a_yes_queues_the_run_and_is_written_down_everywhere_at_once(
    acme: Any, ask: Any, django_capture_on_commit_callbacks: Any
) -> None:
    approval = ask()

    with django_capture_on_commit_callbacks(execute=True):
        answer = acme.client().post(
            f"/api/v1/approvals/{approval.pk}/decide",
            {"decision": "approve", "args_hash": approval.args_hash, "reason": "fine"},
        )

    assert answer.status_code == 200, answer.content
    assert (answer.json()["status"], answer.json()["decisions"][0]["reason"]) == ("approved", "fine")
    kind, data = journal(acme, approval.run_id)[-1]
    assert (kind, data["decision"], data["args_hash"]) == (Kind.APPROVAL_DECIDED, "approve", approval.args_hash)
    assert status_of(acme, approval.run_id) == "queued"
    with acme.scope():
        assert Run.objects.get(pk=approval.run_id).waiting_for == []
        [entry] = Entry.objects.filter(tenant_id=acme.tenant.pk, action="approval.decided")
    assert (entry.subject, entry.payload["decision"]) == (f"approval:{approval.pk}", "approve")


def test_a_get_never_decides(acme: Any, ask: Any) -> None:
    approval = ask()

    answer = acme.client().get(f"/api/v1/approvals/{approval.pk}/decide")

    assert answer.status_code == 405
    assert status_of(acme, approval.run_id) == "waiting"


def test_an_edit_replaces_the_arguments_entirely(acme: Any, ask: Any) -> None:
    approval = ask()

    decided = decide(acme, approval, "edit", args={"amount": 3})

    assert (decided.status, decided.args) == ("edited", {"amount": 3})
    data = journal(acme, approval.run_id)[-1][1]
    assert (data["decision"], data["args"]) == ("edit", {"amount": 3})


@pytest.mark.parametrize(("decision", "more", "status"), [("reject", {"reason": "no"}, "rejected"),
                                                         ("respond", {"response": "done"}, "responded")])  # fmt: skip
def test_a_no_and_an_answer_are_final(acme: Any, ask: Any, decision: str, more: dict[str, str], status: str) -> None:
    approval = ask()

    assert decide(acme, approval, decision, **more).status == status
    assert status_of(acme, approval.run_id) == "queued"


@pytest.mark.parametrize(
    ("said", "status", "pointer"),
    [
        ({"decision": "perhaps"}, 422, "/decision"),
        ({"decision": "edit"}, 422, "/args"),
        ({"decision": "approve", "args": {"amount": 1}}, 422, "/args"),
        ({"decision": "edit", "args": {"amount": "five"}}, 422, "/args/amount"),
        ({"decision": "edit", "args": {}}, 422, "/args"),
        ({"decision": "respond"}, 422, "/response"),
        ({"decision": "approve", "args_hash": "0" * 64}, 409, None),
        ({"decision": "approve", "args_hash": None}, 422, "/args_hash"),
    ],
)
def test_an_answer_that_does_not_fit_changes_nothing(
    acme: Any, ask: Any, said: dict[str, Any], status: int, pointer: str | None
) -> None:
    approval = ask()
    before = journal(acme, approval.run_id)

    answer = acme.client().post(f"/api/v1/approvals/{approval.pk}/decide", {"args_hash": approval.args_hash, **said})

    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert pointer is None or pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (journal(acme, approval.run_id), status_of(acme, approval.run_id)) == (before, "waiting")
    with acme.scope():
        assert Approval.objects.get(pk=approval.pk).status == "pending"


def test_nothing_is_decided_twice(acme: Any, ask: Any) -> None:
    approval = ask()
    decide(acme, approval, "reject")

    with pytest.raises(Conflict, match="is rejected already"):
        decide(acme, approval, by=colleague(acme, "dan"))


def test_nothing_is_decided_late(acme: Any, ask: Any) -> None:
    approval = ask()
    with acme.scope():
        Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    with pytest.raises(Conflict, match="has expired"):
        decide(acme, approval)


def test_another_tenant_can_not_decide(acme: Any, globex: Any, ask: Any) -> None:
    approval = ask()

    with globex.scope(), pytest.raises(NotFound):
        services.decide_approval(
            principal=globex.principal("cem"), approval_id=approval.pk, decision="approve",
            args_hash=approval.args_hash,
        )  # fmt: skip


def test_a_viewer_and_a_key_without_the_scope_can_not_decide(acme: Any, ask: Any) -> None:
    approval = ask()
    reader = acme.client(acme.key("read", "run")[1])

    with pytest.raises(Denied, match="scope 'approve'"):
        decide(acme, approval, by="ben")
    answer = reader.post(
        f"/api/v1/approvals/{approval.pk}/decide", {"decision": "approve", "args_hash": approval.args_hash}
    )
    assert answer.status_code == 403


def test_who_started_the_run_does_not_decide_under_four_eyes(acme: Any, ask: Any) -> None:
    approval = ask(started_by=acme.principal("ann").name, four_eyes=True)

    with pytest.raises(Denied, match="four eyes"):
        decide(acme, approval)
    assert decide(acme, approval, by=colleague(acme, "dan")).status == "approved"


def test_a_policy_names_the_roles_that_decide(acme: Any, ask: Any) -> None:
    approval = ask(approvers=["owner"])

    with pytest.raises(Denied, match="leaves this to owner; you are operator"):
        decide(acme, approval, by=colleague(acme, "dan"))
    assert decide(acme, approval).status == "approved"


def test_two_of_three_have_to_agree_and_nobody_counts_twice(acme: Any, ask: Any) -> None:
    approval = ask(needed=2)

    assert decide(acme, approval).status == "pending"
    assert status_of(acme, approval.run_id) == "waiting"
    with pytest.raises(Conflict, match="somebody else"):
        decide(acme, approval)
    assert decide(acme, approval, by=colleague(acme, "dan")).status == "approved"


def test_a_yes_to_arguments_that_were_edited_since_counts_no_more(acme: Any, ask: Any) -> None:
    approval = ask(needed=2)
    decide(acme, approval)

    edited = decide(acme, approval, "edit", by=colleague(acme, "dan"), args={"amount": 1})

    assert edited.status == "pending"
    with pytest.raises(Conflict, match="other arguments by now"):
        decide(acme, approval, by=colleague(acme, "eve"))
    assert decide(acme, edited).status == "edited"
    assert journal(acme, approval.run_id)[-1][1]["args"] == {"amount": 1}


def test_one_no_ends_it_however_many_are_needed(acme: Any, ask: Any) -> None:
    approval = ask(needed=3)

    assert decide(acme, approval, "reject", reason="never").status == "rejected"


def test_nobody_answers_alone_where_several_have_to_agree(acme: Any, ask: Any) -> None:
    approval = ask(needed=2)

    with pytest.raises(Invalid, match="needs 2 to agree"):
        decide(acme, approval, "respond", response="x")


def test_a_policy_that_nobody_has_made_leaves_it_to_owners(acme: Any) -> None:
    acme.agent()
    approval = acme.question(acme.run(), policy="four-eyse")

    assert (approval.policy, approval.approvers) == ("four-eyse", ["owner"])


def _pass_time(place: Any, approval: Approval, **columns: int) -> None:
    with place.scope():
        moved = {name: timezone.now() - timedelta(seconds=seconds) for name, seconds in columns.items()}
        Approval.objects.filter(pk=approval.pk).update(**moved)
    services.settle_due_approvals()


def test_a_question_that_nobody_answers_expires_and_the_run_goes_on_without_the_call(acme: Any, ask: Any) -> None:
    approval = ask()

    _pass_time(acme, approval, expires_at=1)

    with acme.scope():
        assert Approval.objects.get(pk=approval.pk).status == "expired"
    assert journal(acme, approval.run_id)[-1][1]["decision"] == "expire"
    assert status_of(acme, approval.run_id) == "queued"


def test_a_question_is_handed_on_and_the_first_ones_no_longer_decide(acme: Any, ask: Any) -> None:
    approval = ask(approvers=["operator"], escalates_after_seconds=60, escalates_to=["owner"])
    with acme.scope():
        assert Approval.objects.get(pk=approval.pk).escalates_at is not None

    _pass_time(acme, approval, escalates_at=1)

    with pytest.raises(Denied):
        decide(acme, approval, by=colleague(acme, "dan"))
    assert decide(acme, approval).status == "approved"


def test_an_expired_question_is_asked_of_the_others_before_it_is_refused(acme: Any, ask: Any) -> None:
    approval = ask(approvers=["operator"], on_expiry="escalate", escalates_to=["owner"])

    _pass_time(acme, approval, requested_at=3600, expires_at=1)

    with acme.scope():
        asked = Approval.objects.get(pk=approval.pk)
    assert (asked.status, asked.approvers, asked.expires_at > timezone.now()) == ("pending", ["owner"], True)
    _pass_time(acme, approval, expires_at=1)
    with acme.scope():
        assert Approval.objects.get(pk=approval.pk).status == "expired"


def test_the_last_of_several_answers_queues_the_run(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    first, second = acme.questions(run, 2)

    decide(acme, first)
    assert status_of(acme, run.pk) == "waiting"
    decide(acme, second, "reject")
    assert status_of(acme, run.pk) == "queued"


def test_a_run_whose_questions_were_answered_before_it_stopped_does_not_wait(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    append = acme.work(run)
    [approval] = acme.questions(run, 1, append=append, wait=False)
    decide(acme, approval)

    acme.wait(append, approval.step_key)

    assert status_of(acme, run.pk) == "queued"


def test_the_questions_of_a_cancelled_run_are_superseded(acme: Any, ask: Any) -> None:
    approval = ask()

    answer = acme.client().post(f"/api/v1/runs/{approval.run_id}/cancel", {"reason": "changed my mind"})

    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    with pytest.raises(Conflict, match="superseded"):
        decide(acme, approval)


def test_a_decision_and_its_run_change_together_or_not_at_all(
    acme: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval = ask()

    def fail(*args: Any) -> None:
        raise RuntimeError("the power is out")

    monkeypatch.setattr("agents.services.take_decision", fail)
    with pytest.raises(RuntimeError):
        decide(acme, approval)

    with acme.scope():
        assert Approval.objects.get(pk=approval.pk).status == "pending"
        assert not Approval.objects.get(pk=approval.pk).decisions.exists()


def test_a_run_that_waits_stays_on_its_version_wherever_the_label_goes(acme: Any, ask: Any) -> None:
    approval = ask()
    client = acme.client()
    client.post("/api/v1/agents/assistant/versions", {"spec": {"model": "echo", "instructions": "be rude"}})
    assert client.post("/api/v1/agents/assistant/promote", {"version": 2}).status_code == 200

    decide(acme, approval)

    with tenancy.scheduler_scope():
        claims = agents.claim_runs(owner="w", limit=100, lease_seconds=600)
    [claim] = [claim for claim in claims if claim.run_id == approval.run_id]
    with acme.scope():
        assert AgentVersion.objects.get(pk=claim.version_id).number == 1
    assert client.get(f"/api/v1/runs/{approval.run_id}").json()["agent_version"] == 1


@pytest.mark.parametrize(
    ("rules", "pointer"),
    [
        ({"approvers": []}, "/approvers"),
        ({"needed": 0}, "/needed"),
        ({"on_expiry": "escalate"}, "/escalates_to"),
        ({"escalates_after_seconds": 10, "expires_after_seconds": 10}, "/escalates_after_seconds"),
        ({"approvers": ["king"]}, "/approvers/0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(acme: Any, rules: dict[str, Any], pointer: str) -> None:
    answer = acme.client().post("/api/v1/policies", {"name": "odd", **rules})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_policies_are_made_changed_and_taken_away(acme: Any) -> None:
    client = acme.client()
    made = client.post("/api/v1/policies", {"name": "money", "needed": 2}).json()
    again = client.post("/api/v1/policies", {"name": "money"})
    changed = client.patch(f"/api/v1/policies/{made['id']}", {"four_eyes": True}).json()
    gone = client.delete(f"/api/v1/policies/{made['id']}")

    assert again.status_code == 409
    assert (changed["needed"], changed["four_eyes"]) == (2, True)
    assert (gone.status_code, client.get(f"/api/v1/policies/{made['id']}").status_code) == (204, 404)


def test_the_list_of_approvals_takes_the_same_queries_for_any_number(acme: Any, ask: Any, statements: Any) -> None:
    ask()
    client = acme.client()
    client.get("/api/v1/approvals")  # the first request of a key notes that it was used
    few = len(statements(lambda: client.get("/api/v1/approvals")))
    for _ in range(3):
        acme.question(acme.run())

    many = len(statements(lambda: client.get("/api/v1/approvals?status=pending")))

    assert many == few


def test_the_clock_sees_no_question_of_a_tenant_in_anothers_scope(acme: Any, globex: Any, ask: Any) -> None:
    approval = ask()

    with tenancy.scope(globex.tenant.pk):
        assert not Approval.objects.filter(pk=approval.pk).exists()
