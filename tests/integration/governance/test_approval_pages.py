"""The inbox: what people see of questions, and how they answer them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agents import services as agents
from governance import services
from governance.models import Approval, Membership, User


@pytest.fixture
def asked(acme: Any) -> Approval:
    """A run that waits to be allowed to pay 5."""
    acme.agent()
    return acme.question(acme.run(), amount=5)  # type: ignore[no-any-return]


def _now(place: Any, approval: Approval) -> Approval:
    with place.scope():
        return Approval.objects.whole().get(pk=approval.pk)  # type: ignore[no-any-return]


def _post(client: Any, path: str, **data: Any) -> Any:
    return Client.post(client, path, data)


def _decide(client: Any, approval: Approval, decision: str, **more: Any) -> Any:
    data = {"decision": decision, "args_hash": approval.args_hash, **more}
    return _post(client, f"/approvals/{approval.pk}/decide", **data)


def _join(place: Any, name: str, role: str) -> Any:
    with place.scope():
        user = User.objects.create_user(f"{name}-{place.tenant.slug}")
        services.add_member(tenant=place.tenant, user=user, role=role, by="test")
    place.people[name] = user
    return place.member(name)


def test_a_question_is_shown_with_all_that_the_answer_is_bound_to(acme: Any, asked: Approval) -> None:
    page = acme.member("ann").get(f"/approvals/{asked.pk}").content.decode()

    for words in ("pay", "amount", "assistant@1", "pay: approval required", asked.step_key, "0 of 1", "medium"):
        assert words in page, words
    assert f'href="/runs/{asked.run_id}"' in page
    assert f'value="{asked.args_hash}"' in page
    assert asked.version_hash[:12] in page


def test_what_a_model_wrote_into_arguments_is_text_on_the_page(acme: Any) -> None:
    acme.agent()
    asked = acme.question(acme.run(), amount=5, note="<script>alert(1)</script>")

    for path in ("/approvals/", f"/approvals/{asked.pk}", f"/approvals/{asked.pk}/edit"):
        assert "<script>alert" not in acme.member("ann").get(path).content.decode()


def test_a_yes_lets_the_run_go_on(acme: Any, asked: Approval) -> None:
    answer = _decide(acme.member("ann"), asked, "approve")

    assert (answer.status_code, answer["Location"]) == (302, f"/approvals/{asked.pk}")
    assert _now(acme, asked).status == "approved"
    assert acme.client().get(f"/api/v1/runs/{asked.run_id}").json()["status"] == "queued"


@pytest.mark.parametrize(
    ("decision", "more", "status", "kept"),
    [
        ("reject", {"reason": "not this month"}, "rejected", ("reason", "not this month")),
        ("respond", {"response": "paid by hand"}, "responded", ("response", "paid by hand")),
        ("edit", {"args": '{"amount": 3}'}, "edited", ("args", {"amount": 3})),
    ],
)
def test_every_other_answer_is_taken_too(
    acme: Any, asked: Approval, decision: str, more: dict[str, str], status: str, kept: tuple[str, Any]
) -> None:
    assert _decide(acme.member("ann"), asked, decision, **more).status_code == 302

    now = _now(acme, asked)
    [said] = now.decisions.all()
    assert (now.status, getattr(said, kept[0])) == (status, kept[1])


def test_looking_decides_nothing(acme: Any, asked: Approval) -> None:
    ann = acme.member("ann")
    query = {"decision": "approve", "args_hash": asked.args_hash, "confirmed": "1", "chosen": str(asked.pk)}

    codes = [
        ann.get(path, query).status_code
        for path in (
            "/approvals/", f"/approvals/{asked.pk}", f"/approvals/{asked.pk}/edit", f"/approvals/{asked.pk}/decide",
            "/approvals/several",
        )
    ]  # fmt: skip

    assert codes == [200, 200, 200, 405, 405]
    assert _now(acme, asked).status == "pending"


@pytest.mark.parametrize("path", ["/approvals/{}/decide", "/approvals/{}/edit", "/approvals/several"])
def test_a_form_of_another_site_decides_nothing(acme: Any, asked: Approval, path: str) -> None:
    ann = acme.member("ann", enforce_csrf_checks=True)
    data = {"decision": "approve", "args_hash": asked.args_hash, "confirmed": "1"}

    answer = _post(ann, path.format(asked.pk), **data, chosen=f"{asked.pk}:{asked.args_hash}")

    assert answer.status_code == 403
    assert _now(acme, asked).status == "pending"


def test_who_may_only_look_sees_no_buttons_and_why(acme: Any, asked: Approval) -> None:
    ben = acme.member("ben")

    page = ben.get(f"/approvals/{asked.pk}").content.decode()

    assert "You can look, but not decide" in page
    assert 'name="decision"' not in page
    assert 'type="checkbox"' not in page
    assert _decide(ben, asked, "approve").status_code == 403
    assert ben.get(f"/approvals/{asked.pk}/edit").status_code == 403
    assert _post(ben, "/approvals/several", decision="approve", chosen=f"{asked.pk}:x", confirmed=1).status_code == 403
    assert _now(acme, asked).status == "pending"


def test_who_started_the_run_is_told_that_others_have_to_decide(acme: Any) -> None:
    ann = acme.people["ann"].username
    with acme.scope():
        services.create_policy(tenant=acme.tenant, name="default", four_eyes=True, by="test")
    slug = acme.agent()
    with acme.scope():
        run = agents.start_run(tenant=acme.tenant, agent=slug, input="x", by=f"user:{ann}")
    asked = acme.question(run)

    page = acme.member("ann").get(f"/approvals/{asked.pk}").content.decode()
    answer = _decide(acme.member("ann"), asked, "approve")

    assert "wants four eyes: who started the run does not decide" in page
    assert 'name="decision" value="approve" class="good" data-key' not in page
    assert (answer.status_code, _now(acme, asked).status) == (403, "pending")
    assert _decide(_join(acme, "dora", Membership.Role.APPROVER), asked, "approve").status_code == 302


def test_two_of_two_have_to_agree_and_the_page_counts_them(acme: Any) -> None:
    with acme.scope():
        services.create_policy(tenant=acme.tenant, name="default", needed=2, by="test")
    acme.agent()
    asked = acme.question(acme.run())
    ann, dora = acme.member("ann"), _join(acme, "dora", Membership.Role.APPROVER)

    _decide(ann, asked, "approve")

    page = ann.get(f"/approvals/{asked.pk}").content.decode()
    assert "1 of 2" in page
    assert "1 more has to" in page
    assert "you have decided already" in page
    _decide(dora, asked, "approve")
    assert _now(acme, asked).status == "approved"


def test_an_answer_that_comes_second_is_told_how_things_stand(acme: Any, asked: Approval) -> None:
    _decide(acme.member("ann"), asked, "reject", reason="too much")

    answer = _decide(acme.member("ann"), asked, "approve")

    page = answer.content.decode()
    assert answer.status_code == 409
    assert "Not decided." in page
    assert "is rejected already" in page
    assert "too much" in page
    assert _now(acme, asked).status == "rejected"


def test_an_answer_to_other_arguments_is_not_taken(acme: Any) -> None:
    with acme.scope():
        services.create_policy(tenant=acme.tenant, name="default", needed=2, by="test")
    acme.agent()
    asked = acme.question(acme.run(), amount=5)
    _decide(acme.member("ann"), asked, "edit", args='{"amount": 4000}')

    dora = _join(acme, "dora", Membership.Role.APPROVER)
    answer = _decide(dora, asked, "approve")

    assert answer.status_code == 409
    assert "about other arguments by now" in answer.content.decode()
    assert "4000" in answer.content.decode()
    assert _now(acme, asked).status == "pending"
    assert _post(dora, f"/approvals/{asked.pk}/edit", args_hash=asked.args_hash).status_code == 409


def test_an_answer_that_comes_too_late_is_not_taken(acme: Any, asked: Approval) -> None:
    with acme.scope():
        Approval.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    answer = _decide(acme.member("ann"), asked, "approve")

    assert answer.status_code == 409
    assert "has expired" in answer.content.decode()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"decision": "perhaps"}, "no decision"),
        ({"decision": "edit", "args": "{"}, "no JSON"),
        ({"decision": "edit", "args": "[]"}, "a JSON object"),
        ({"decision": "edit", "args": '{"amount": "x"}'}, "is not of type"),
        ({"decision": "respond", "response": "  "}, "write the answer"),
    ],
)
def test_an_answer_that_makes_no_sense_is_named(acme: Any, asked: Approval, data: dict[str, str], says: str) -> None:
    answer = _decide(acme.member("ann"), asked, **data)

    assert answer.status_code == 422
    assert says in answer.content.decode()
    assert _now(acme, asked).status == "pending"


def test_an_edit_is_compared_before_it_is_agreed_to(acme: Any, asked: Approval) -> None:
    ann, path = acme.member("ann"), f"/approvals/{asked.pk}/edit"
    sent = {"args_hash": asked.args_hash, "arg-amount": "7"}

    shown = _post(ann, path, **sent).content.decode()

    assert _now(acme, asked).status == "pending"
    assert "<del>5</del>" in shown
    assert "<ins>7</ins>" in shown
    found = re.search(r'name="args" value="([^"]+)"', shown)
    assert found
    args = found[1].replace("&quot;", '"')
    assert json.loads(args) == {"amount": 7}
    again = _post(ann, path, args_hash=asked.args_hash, args=args, back=1).content.decode()
    assert 'value="7"' in again
    assert _decide(ann, asked, "edit", args=args).status_code == 302
    assert _now(acme, asked).args == {"amount": 7}


@pytest.mark.parametrize(("amount", "says"), [("x", "no whole number"), ("", "required"), ("5", "Nothing is changed")])
def test_an_edit_that_cannot_be_is_said_beside_the_field(acme: Any, asked: Approval, amount: str, says: str) -> None:
    data = {"args_hash": asked.args_hash, "arg-amount": amount}

    answer = _post(acme.member("ann"), f"/approvals/{asked.pk}/edit", **data)

    assert answer.status_code == 422
    assert says in answer.content.decode()


def test_several_are_decided_as_they_were_shown_and_each_says_what_became_of_it(acme: Any) -> None:
    acme.agent()
    fine, late, other = (acme.question(acme.run(), amount=number) for number in (1, 2, 3))
    ann = acme.member("ann")
    chosen = [f"{asked.pk}:{asked.args_hash}" for asked in (fine, late, other)]
    with acme.scope():
        Approval.objects.filter(pk=other.pk).update(approvers=["approver"])

    review = _post(ann, "/approvals/several", decision="approve", chosen=chosen)
    assert [_now(acme, asked).status for asked in (fine, late, other)] == ["pending"] * 3
    _decide(ann, late, "reject")
    results = _post(ann, "/approvals/several", decision="approve", chosen=chosen, confirmed=1).content.decode()

    assert "Approve 3 calls?" in review.content.decode()
    assert [_now(acme, asked).status for asked in (fine, late, other)] == ["approved", "rejected", "pending"]
    assert re.findall(r'<span class="tag">([^<]+)</span>', results) == ["decided", "changed since", "not yours"]


def test_ticks_that_are_none_decide_nothing(acme: Any, globex: Any, asked: Approval) -> None:
    globex.agent()
    theirs = globex.question(globex.run())
    ann = acme.member("ann")

    for chosen in ([], ["nonsense"], ["a:b"]):
        assert _post(ann, "/approvals/several", decision="approve", chosen=chosen, confirmed=1).status_code == 302
    ticks = {"decision": "approve", "chosen": f"{theirs.pk}:{theirs.args_hash}", "confirmed": 1}
    page = _post(ann, "/approvals/several", **ticks).content.decode()

    assert str(theirs.pk) not in page
    assert (_now(globex, theirs).status, _now(acme, asked).status) == ("pending", "pending")


def test_the_tabs_and_the_search_find_what_they_say(acme: Any) -> None:
    acme.agent("clerk")
    acme.agent("buyer")
    waits, done = acme.question(acme.run("clerk")), acme.question(acme.run("buyer"))
    ann = acme.member("ann")
    _decide(ann, done, "approve")

    def shown(query: str) -> list[str]:
        page = ann.get(f"/approvals/?part=list&{query}").content.decode()
        return re.findall(r'<li class="row[^"]*" data-id="([^"]+)"', page)

    first, second = str(waits.pk), str(done.pk)
    assert shown("") == shown("show=pending") == shown("show=nonsense") == [first]
    assert shown("show=decided") == [second]
    assert shown("show=all") == [first, second]
    assert shown("show=all&q=BUYER") == [second]
    assert shown("show=all&q=pay") == [first, second]
    assert shown("q=nothing%00") == []
    assert "Nothing fits" in ann.get("/approvals/?q=nothing").content.decode()


def test_every_page_of_the_console_says_how_many_wait(acme: Any, asked: Approval) -> None:
    ann = acme.member("ann")

    for path in ("/", "/runs/new", f"/runs/{asked.run_id}", "/approvals/"):
        assert "1 wait for somebody" in ann.get(path).content.decode(), path
    assert "1 wait for somebody" in ann.get("/approvals/pending").content.decode()
    _decide(ann, asked, "approve")
    assert "count" not in ann.get("/approvals/pending").content.decode()


def test_a_call_that_may_have_happened_is_asked_about_in_its_own_words(acme: Any, asked: Approval) -> None:
    with acme.scope():
        Approval.objects.update(kind="reconcile")
    ann = acme.member("ann")

    page = ann.get(f"/approvals/{asked.pk}").content.decode()

    for words in ("may have happened", "Run again", "Mark as done", "Fail…"):
        assert words in page
    assert ann.get(f"/approvals/{asked.pk}/edit").status_code == 302
    assert _decide(ann, asked, "respond", response="it was paid").status_code == 302
    assert _now(acme, asked).status == "responded"


def test_a_decision_leads_back_to_where_one_came_from_and_nowhere_else(acme: Any) -> None:
    acme.agent()
    ann = acme.member("ann")

    def leads(following: str) -> str:
        asked = acme.question(acme.run())
        return str(_decide(ann, asked, "approve", next=following)["Location"]).replace(str(asked.pk), "ID")

    assert leads("/runs/1") == "/runs/1"
    assert leads("//evil.example/") == leads("https://evil.example/") == leads("javascript:1") == "/approvals/ID"


@pytest.mark.parametrize("path", ["/approvals/", "/approvals/?show=all&part=list", "/approvals/{}"])
def test_the_inbox_takes_the_same_number_of_statements_however_long_it_is(
    acme: Any, statements: Any, asked: Approval, path: str
) -> None:
    ann = acme.member("ann")

    def look() -> None:
        assert ann.get(path.format(asked.pk)).status_code == 200

    look()
    few = statements(look)
    for number in range(8):
        acme.question(acme.run(), amount=number)

    assert len(statements(look)) == len(few)
    assert len([sql for sql in few if 'FROM "governance_approval' in sql]) <= 6
