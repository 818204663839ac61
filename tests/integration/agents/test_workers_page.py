"""The page of workers and the queue, and how workers come to be on it."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django.utils import timezone

from agents import services, worker
from agents.models import Run, Worker
from governance import tenancy
from loom.events import Record


def _page(place: Any, name: str = "ben") -> str:
    return " ".join(place.member(name).get("/workers/").content.decode().split())


def test_the_queue_is_counted_by_what_its_runs_do(acme: Any, globex: Any) -> None:
    acme.agent()
    globex.run(globex.agent())
    acme.run(not_before=timezone.now() + timedelta(hours=1))
    acme.question(acme.run())
    acme.work(acme.run())
    for _ in range(2):
        acme.run()

    page = _page(acme)

    for words in ("<dt>Queued</dt><dd>2</dd>", "<dt>Running</dt><dd>1</dd>", "<dt>Waiting</dt><dd>1</dd>"):
        assert words in page
    assert "1 for later" in page
    assert "oldest" in page


def test_runs_under_way_name_the_worker_that_holds_them(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    acme.work(run)

    page = _page(acme)

    assert f'href="/runs/{run.pk}"' in page
    assert f"test:{run.pk}" in page


def test_dead_letters_are_listed_with_a_way_to_retry_for_those_who_may(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    error = {"code": "dead_letter", "type": "DeadLetter", "message": "five workers died"}
    acme.work(run)(Record(kind="run.failed", data={"error": error}))

    assert "five workers died" in _page(acme)
    assert f'href="/runs/{run.pk}/retry"' in _page(acme, "ann")
    assert f'href="/runs/{run.pk}/retry"' not in _page(acme, "ben")


def test_a_dead_letter_has_the_code_that_the_page_looks_for() -> None:
    from agents.views.workers import DEAD

    assert worker.DeadLetter("x").code == DEAD


def test_a_worker_is_seen_until_it_ends_and_is_gone_when_it_says_nothing(acme: Any) -> None:
    services.report_worker(owner="host:1", held=7, capacity=200)
    services.report_worker(owner="host:2", held=0, capacity=200)
    Worker.objects.filter(owner="host:2").update(seen_at=timezone.now() - timedelta(minutes=10))
    services.report_worker(owner="host:3", held=0, capacity=200)
    services.forget_worker(owner="host:3")

    page = _page(acme)

    assert "host:1" in page
    assert page.count("· gone") == 1
    assert "host:3" not in page


def test_a_worker_that_was_silent_for_a_day_is_forgotten(db: None) -> None:
    services.report_worker(owner="old:1", held=0, capacity=1)
    Worker.objects.update(seen_at=timezone.now() - timedelta(days=2))

    services.report_worker(owner="new:1", held=0, capacity=1)

    assert list(Worker.objects.values_list("owner", flat=True)) == ["new:1"]


def test_how_much_others_have_running_is_not_shown(acme: Any, globex: Any) -> None:
    services.report_worker(owner="host:1", held=8765, capacity=200)

    assert "8765" not in _page(acme)


def test_the_thread_of_leases_says_that_the_worker_lives_and_that_it_ends(db: None) -> None:
    class Stopping:
        """Is waited for once, and looks around meanwhile."""

        seen: list[tuple[str, int]]

        def wait(self, seconds: float) -> bool:
            self.seen = list(Worker.objects.values_list("owner", "capacity"))
            return True

    stopping = Stopping()
    process = SimpleNamespace(owner="host:9", run_ids=set(), capacity=5)

    worker._renew(process, 30.0, stopping)  # type: ignore[arg-type]

    assert stopping.seen == [("host:9", 5)]
    assert not Worker.objects.exists()


def test_the_page_takes_the_same_number_of_statements_however_long_the_queue(acme: Any, statements: Any) -> None:
    acme.agent()
    ben = acme.member("ben")

    def look() -> int:
        return len(statements(lambda: ben.get("/workers/")))

    acme.work(acme.run())
    look()
    few = look()
    for _ in range(6):
        acme.work(acme.run())
    with tenancy.scheduler_scope():
        assert Run.objects.filter(status="running").count() >= 7

    assert look() == few
