"""What operators decide and rule about approvals in the admin."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from agents.models import Run
from governance.models import Approval, ApprovalPolicy

LIST = "/admin/governance/approval/"
POLICIES = "/admin/governance/approvalpolicy/"
RULES = {
    "name": "two", "approvers": ["owner", "approver"], "needed": 2, "expires_after_seconds": 600, "on_expiry": "deny",
}  # fmt: skip


@pytest.fixture
def asked(acme: Any) -> Approval:
    acme.agent()
    return acme.question(acme.run(), amount=5)  # type: ignore[no-any-return]


def _post(client: Any, path: str, **data: Any) -> Any:
    return Client.post(client, path, data)


def _status(place: Any, approval: Approval) -> str:
    with place.scope():
        return str(Approval.objects.get(pk=approval.pk).status)


def test_a_question_is_shown_and_cannot_be_changed(acme: Any, asked: Approval) -> None:
    page = acme.member("ann").get(f"{LIST}{asked.pk}/change/").content.decode()

    assert asked.args_hash in page
    assert f'href="/approvals/{asked.pk}"' in page
    assert 'name="_save"' not in page


@pytest.mark.parametrize(("action", "status"), [("approve", "approved"), ("reject", "rejected")])
def test_what_is_decided_is_shown_before_it_is(acme: Any, asked: Approval, action: str, status: str) -> None:
    ann = acme.member("ann")

    page = _post(ann, LIST, action=action, _selected_action=str(asked.pk)).content.decode()
    assert _status(acme, asked) == "pending"
    assert "&quot;amount&quot;: 5" in page
    [shown] = re.findall(r'name="shown" value="([^"]+)"', page)
    _post(ann, LIST, action=action, _selected_action=str(asked.pk), shown=shown, confirmed=1, reason="as agreed")

    assert shown == f"{asked.pk}:{asked.args_hash}"
    assert _status(acme, asked) == status


def test_what_was_not_shown_is_not_decided(acme: Any, asked: Approval) -> None:
    ann = acme.member("ann")

    for shown in ("", f"{asked.pk}:{'0' * 64}"):
        _post(ann, LIST, action="approve", _selected_action=str(asked.pk), shown=shown, confirmed=1)

    assert _status(acme, asked) == "pending"
    assert "about other arguments by now" in ann.get(LIST).content.decode()


def test_who_may_only_look_has_no_such_action(acme: Any, asked: Approval) -> None:
    ben, shown = acme.member("ben"), f"{asked.pk}:{asked.args_hash}"

    _post(ben, LIST, action="approve", _selected_action=str(asked.pk), shown=shown, confirmed=1)

    assert _status(acme, asked) == "pending"
    assert "Approve…" not in ben.get(LIST).content.decode()


def test_policies_are_made_changed_and_taken_away_by_services(acme: Any) -> None:
    ann = acme.member("ann")

    assert _post(ann, f"{POLICIES}add/", **RULES).status_code == 302
    with acme.scope():
        policy = ApprovalPolicy.objects.get()
    _post(ann, f"{POLICIES}{policy.pk}/change/", **{**RULES, "needed": 3, "four_eyes": "on"})
    with acme.scope():
        changed = ApprovalPolicy.objects.get()
    assert (policy.needed, policy.approvers) == (2, ["owner", "approver"])
    assert (changed.pk, changed.needed, changed.four_eyes) == (policy.pk, 3, True)
    _post(ann, f"{POLICIES}{policy.pk}/delete/", post="yes")

    with acme.scope():
        assert not ApprovalPolicy.objects.exists()
    entries = acme.client().get("/api/v1/policies").json()
    assert entries["items"] == []


def test_a_policy_that_makes_no_sense_is_refused_with_the_reason(acme: Any) -> None:
    ann = acme.member("ann")
    wrong = {**RULES, "on_expiry": "escalate"}

    page = Client.post(ann, f"{POLICIES}add/", wrong, follow=True).content.decode()

    assert "name the roles that are asked then" in page


def test_only_those_who_may_change_settings_change_policies(acme: Any) -> None:
    ben = acme.member("ben")

    assert _post(ben, f"{POLICIES}add/", **RULES).status_code == 403
    assert "two" not in ben.get(POLICIES).content.decode()


def test_runs_are_cancelled_from_the_list_by_those_who_may(acme: Any) -> None:
    acme.agent()
    run = acme.run()

    _post(acme.member("ben"), "/admin/agents/run/", action="cancel", _selected_action=str(run.pk))
    with acme.scope():
        assert Run.objects.get().status == "queued"
    _post(acme.member("ann"), "/admin/agents/run/", action="cancel", _selected_action=str(run.pk))

    with acme.scope():
        assert Run.objects.get().status == "cancelled"


def test_staff_of_the_platform_see_how_much_each_tenant_has_to_do(
    acme: Any, globex: Any, client: Any, django_user_model: Any
) -> None:
    for place in (acme, globex):
        place.run(place.agent())
    client.force_login(django_user_model.objects.create_superuser("root"))

    page = client.get("/admin/agents/worker/").content.decode()

    assert acme.tenant.slug in page
    assert globex.tenant.slug in page
    assert acme.member("ann").get("/admin/agents/worker/").status_code == 403
