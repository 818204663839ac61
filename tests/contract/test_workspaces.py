"""What every workspace promises, asked of every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from agents.core.workspace.in_memory import InMemoryWorkspace
from agents.core.workspace.local_disk import LocalDiskWorkspace
from agents.core.workspace.protocol import Workspace
from agents.core.workspace.shelf import ShelfWorkspace
from agents.core.workspace.values import Note
from loom.context import RunContext, set_run_context
from loom.errors import ConfigError
from memory.core.embedders import HashEmbedder

Make = Callable[..., ShelfWorkspace]


@pytest.fixture(params=["in_memory", "local_disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "in_memory":
        return InMemoryWorkspace
    return lambda **more: LocalDiskWorkspace(tmp_path / "ws", **more)


@pytest.fixture
def workspace(make: Make) -> Iterator[ShelfWorkspace]:
    return make()


async def write(workspace: Workspace, title: str, body: str = "text", **more: Any) -> Note:
    return await workspace.write_note(**{"author": "scout", "title": title, "body": body, "user_id": "ann"} | more)


async def slugs(workspace: Workspace, **more: Any) -> list[str]:
    return [note.slug for note in await workspace.list_notes(**{"user_id": "ann"} | more)]


async def test_a_workspace_satisfies_the_protocol(workspace: ShelfWorkspace) -> None:
    assert isinstance(workspace, Workspace)


async def test_slugs_count_the_notes_of_each_author_and_carry_the_title(workspace: ShelfWorkspace) -> None:
    titles = ["Öl & Gas!", "", "../../etc/passwd", "日本", "x" * 200]

    notes = [await write(workspace, title) for title in titles]
    other = await write(workspace, "Mine", author="other")
    of_ben = await write(workspace, "Mine", user_id="ben")

    assert [note.slug for note in notes] == [
        "001-ol-gas",
        "002-note",
        "003-etc-passwd",
        "004-note",
        "005-" + "x" * 60,
    ]
    assert (other.slug, of_ben.slug) == ("001-mine", "001-mine")


async def test_everything_about_a_note_comes_back_as_it_was_written(workspace: ShelfWorkspace) -> None:
    body = "---\nfirst: no frontmatter\n---\r\n\n\ttabs, ünïcode, 日本 and a trailing line\n\n"
    note = await write(
        workspace,
        'a "quoted": title\nin two lines',
        body,
        kind="question",
        tags=["a: b", "c\nd"],
        run_id="run_1",
        namespace="../up",
        answered=False,
        parent_slug="001-x",
    )

    assert await workspace.read_note(note.slug, user_id="ann") == note
    assert note.body == body


async def test_an_unknown_kind_is_a_plain_note(workspace: ShelfWorkspace) -> None:
    assert (await write(workspace, "a", kind="poem")).kind == "note"


async def test_twenty_notes_of_one_title_written_at_once_all_survive(workspace: ShelfWorkspace) -> None:
    async with anyio.create_task_group() as writers:
        for number in range(20):
            writers.start_soon(lambda n=number: write(workspace, "Same", f"text {n}"))

    found = await slugs(workspace)
    bodies = {(await workspace.read_note(slug, user_id="ann")).body for slug in found}  # type: ignore[union-attr]
    assert sorted(found) == [f"{number:03d}-same" for number in range(1, 21)]
    assert len(bodies) == 20


# reading, listing, searching


async def test_a_note_is_read_by_slug_or_by_a_part_of_its_newest_title(workspace: ShelfWorkspace) -> None:
    await write(workspace, "Oil price")
    newer = await write(workspace, "Oil demand")
    mine = await write(workspace, "Oil price", author="other")

    assert (await workspace.read_note("oil D", user_id="ann")) == newer
    assert (await workspace.read_note("other/001-oil-price", user_id="ann")) == mine
    assert (await workspace.read_note("002-oil-demand", user_id="ann")) == newer
    assert await workspace.read_note("gas", user_id="ann") is None
    assert await workspace.read_note("", user_id="ann") is None


async def test_no_user_sees_the_notes_of_another_nor_of_nobody(workspace: ShelfWorkspace) -> None:
    users = ["ann", "Ann", "", None, "_anon", "alice@x.com", "alice_x.com", "alice/x.com", "..", "a" * 300, "a" * 301]
    for user in users:
        await write(workspace, "Secret", f"of {user!r}", user_id=user)

    for user in users:
        notes = await workspace.list_notes(user_id=user)
        assert [note.lede for note in notes] == [f"of {user!r}"[:159] + "…" if len(str(user)) > 150 else f"of {user!r}"]
    assert await workspace.list_notes(user_id="cem") == []


async def test_lists_are_filtered_newest_first_and_cut(workspace: ShelfWorkspace) -> None:
    await write(workspace, "a")
    await write(workspace, "b", kind="decision")
    await write(workspace, "c", namespace="ops")
    await write(workspace, "d", author="other")

    assert await slugs(workspace) == ["001-d", "003-c", "002-b", "001-a"]
    assert await slugs(workspace, author="scout") == ["003-c", "002-b", "001-a"]
    assert await slugs(workspace, kind="decision") == ["002-b"]
    assert await slugs(workspace, namespace="ops") == ["003-c"]
    assert await slugs(workspace, limit=2) == ["001-d", "003-c"]


async def test_a_title_counts_more_than_a_tag_and_a_tag_more_than_the_text(workspace: ShelfWorkspace) -> None:
    await write(workspace, "In the text", "all about Oslo")
    await write(workspace, "In a tag", tags=["oslo"])
    await write(workspace, "Oslo in the title")
    await write(workspace, "Nowhere")

    found = await workspace.search_notes("oslo", user_id="ann")

    assert [(match.summary.slug, match.score) for match in found] == [
        ("003-oslo-in-the-title", 1.0),
        ("002-in-a-tag", 0.7),
        ("001-in-the-text", 0.5),
    ]
    assert found[2].snippet == "all about Oslo"


async def test_the_score_is_the_average_over_the_words_of_the_query(workspace: ShelfWorkspace) -> None:
    await write(workspace, "Oslo", "about ferries")

    (match,) = await workspace.search_notes("Oslo ferries rome", user_id="ann")

    assert match.score == pytest.approx((1.0 + 0.5) / 3)


async def test_notes_that_proved_useful_can_be_preferred(workspace: ShelfWorkspace) -> None:
    useful = await write(workspace, "Oslo")
    await write(workspace, "Oslo")
    await workspace.attribute_outcome(success=True, slugs=[useful.slug], user_id="ann")

    plain = await workspace.search_notes("oslo", user_id="ann")
    boosted = await workspace.search_notes("oslo", user_id="ann", boost_relevance=True)

    assert [match.summary.slug for match in plain] == ["002-oslo", "001-oslo"]
    assert [match.summary.slug for match in boosted] == ["001-oslo", "002-oslo"]


async def test_a_search_by_meaning_needs_an_embedder_and_then_uses_it(make: Make) -> None:
    class Cities(HashEmbedder):
        async def embed(self, text: str) -> list[float]:
            return [1.0, 0.0] if "Oslo" in text or "capital of Norway" in text else [0.0, 1.0]

    with pytest.raises(ConfigError, match="'semantic' needs a workspace with an embedder"):
        await make().search_notes("x", mode="semantic")
    with pytest.raises(ConfigError, match="no search mode 'magic'"):
        await make().search_notes("x", mode="magic")

    workspace = make(embedder=Cities(2))
    await write(workspace, "Rome", user_id="zoe")
    oslo = await write(workspace, "Oslo", user_id="zoe")
    found = [
        [match.summary.slug for match in await workspace.search_notes("capital of Norway", user_id="zoe", mode=mode)]
        for mode in ("semantic", "hybrid", "auto", "bm25")
    ]

    assert found == [[oslo.slug]] * 3 + [[]]


# changing


async def test_an_update_keeps_every_earlier_text_under_its_number(workspace: ShelfWorkspace) -> None:
    note = await write(workspace, "Oil", "one")
    for body in ("two", "three"):
        await workspace.update_note(author="scout", slug=note.slug, body=body, tags=["x"], user_id="ann")

    changed = await workspace.read_note(note.slug, user_id="ann")
    versions = await workspace.list_versions(note.slug, author="scout", user_id="ann")
    first = await workspace.read_version(note.slug, 1, author="scout", user_id="ann")

    assert changed is not None
    assert first is not None
    assert (changed.body, changed.tags, changed.created_at) == ("three", ["x"], note.created_at)
    assert changed.updated_at > note.updated_at
    assert [(version.version, version.body_preview) for version in versions] == [(1, "one"), (2, "two")]
    assert (first.body, first.title, first.user_id) == ("one", "Oil", "ann")
    assert await workspace.read_version(note.slug, 9, author="scout", user_id="ann") is None
    assert await workspace.list_versions("009-x", author="scout", user_id="ann") == []


async def test_only_the_author_changes_or_archives_a_note(workspace: ShelfWorkspace) -> None:
    note = await write(workspace, "Oil", "one")

    with pytest.raises(PermissionError, match="belongs to 'scout'"):
        await workspace.update_note(author="other", slug=note.slug, body="mine", user_id="ann")
    with pytest.raises(PermissionError, match="belongs to 'scout'"):
        await workspace.archive_note(author="other", slug=note.slug, user_id="ann")
    with pytest.raises(FileNotFoundError, match="no note '001-oil'"):
        await workspace.update_note(author="scout", slug=note.slug, body="x", user_id="ben")
    assert await workspace.read_note(note.slug, user_id="ann") == note


@pytest.mark.parametrize(
    "slug",
    [
        "../../../ben/notes/scout/001-secret",
        "../../ben/notes/scout/001-secret",
        "../scout/001-secret",
        "/etc/passwd",
        "001-secret/../001-secret",
        "ben/001-secret",
        "",
    ],
)
async def test_a_slug_never_leads_to_the_note_of_another_user(workspace: ShelfWorkspace, slug: str) -> None:
    secret = await write(workspace, "Secret", "of ben", user_id="ben")
    await write(workspace, "Mine", "of ann")

    for change in (
        workspace.update_note(author="scout", slug=slug, body="OVERWRITTEN", user_id="ann"),
        workspace.update_note(author="scout", slug=slug, body="OVERWRITTEN", user_id="ann", mark_answered="scout"),
        workspace.archive_note(author="scout", slug=slug, user_id="ann"),
    ):
        with pytest.raises(FileNotFoundError):
            await change
    assert await workspace.read_note(slug, user_id="ann") is None
    assert await workspace.list_versions(slug, author="scout", user_id="ann") == []
    assert await workspace.read_note("001-secret", user_id="ben") == secret


async def test_anybody_may_mark_a_question_as_answered_and_nothing_more(workspace: ShelfWorkspace) -> None:
    asked = await write(workspace, "Why?", "why", kind="question", answered=False)

    marked = await workspace.update_note(
        author="other", slug=asked.slug, body="hacked", tags=["hacked"], user_id="ann", mark_answered="other"
    )

    assert (marked.answered, marked.answered_by) == (True, "other")
    assert (marked.author, marked.body, marked.tags) == ("scout", "why", [])


async def test_of_two_notes_with_one_slug_the_named_one_is_marked(workspace: ShelfWorkspace) -> None:
    asked = await write(workspace, "Why", kind="question", answered=False)
    await write(workspace, "Why", "a note of mine", author="other")

    await workspace.update_note(
        author="other", slug=f"scout/{asked.slug}", body="", user_id="ann", mark_answered="other"
    )

    mine = await workspace.read_note("other/001-why", user_id="ann")
    theirs = await workspace.read_note("scout/001-why", user_id="ann")
    assert mine is not None
    assert theirs is not None
    assert (mine.body, mine.answered, theirs.answered) == ("a note of mine", None, True)


async def test_an_archived_note_is_hidden_but_can_be_read(workspace: ShelfWorkspace) -> None:
    note = await write(workspace, "Oil")

    archived = await workspace.archive_note(author="scout", slug=note.slug, user_id="ann")

    assert archived.archived_at is not None
    assert await slugs(workspace) == []
    assert await workspace.search_notes("oil", user_id="ann") == []
    assert await slugs(workspace, include_archived=True) == [note.slug]
    assert len(await workspace.search_notes("oil", user_id="ann", include_archived=True)) == 1
    assert await workspace.read_note(note.slug, user_id="ann") == archived


# outcomes and pruning


async def test_an_outcome_credits_what_was_read_since_the_last_one(workspace: ShelfWorkspace) -> None:
    read, unread = await write(workspace, "Read"), await write(workspace, "Unread")
    await workspace.read_note(read.slug, user_id="ann")
    await workspace.read_note(read.slug, user_id="ann")

    assert await workspace.attribute_outcome(success=True, user_id="ann") == 1
    assert await workspace.attribute_outcome(success=True, user_id="ann") == 0
    assert await workspace.attribute_outcome(success=False, slugs=[read.slug], user_id="ann") == 1
    assert await workspace.attribute_outcome(success=True, user_id="ben") == 0

    summaries = {note.slug: note for note in await workspace.list_notes(user_id="ann")}
    credited = summaries[read.slug]
    assert (credited.cited_count, credited.success_count) == (2, 1)
    assert credited.last_cited_at is not None
    assert summaries[unread.slug].cited_count == 0


async def test_an_outcome_within_a_run_credits_only_what_that_run_has_read(workspace: ShelfWorkspace) -> None:
    notes = [await write(workspace, title) for title in ("First", "Second")]
    for run, note in zip(("run_1", "run_2"), notes, strict=True):
        async with set_run_context(RunContext(user_id="ann", run_id=run)):
            await workspace.read_note(note.slug, user_id="ann")

    async with set_run_context(RunContext(user_id="ann", run_id="run_2")):
        assert workspace.cited_slugs(user_id="ann", run_id="run_2") == ["002-second"]
        assert await workspace.attribute_outcome(success=True, user_id="ann") == 1

    counts = {note.slug: note.cited_count for note in await workspace.list_notes(user_id="ann")}
    assert counts == {"001-first": 0, "002-second": 1}
    assert workspace.cited_slugs(user_id="ann", run_id="run_1") == ["001-first"]


async def test_pruning_deletes_what_is_old_unread_and_of_no_kind_to_keep(workspace: ShelfWorkspace) -> None:
    old = await write(workspace, "Old")
    cited = await write(workspace, "Cited")
    decision = await write(workspace, "Decision", kind="decision")
    of_ben = await write(workspace, "Of ben", user_id="ben")
    await workspace.update_note(author="scout", slug=old.slug, body="changed", user_id="ann")
    await workspace.attribute_outcome(success=True, slugs=[cited.slug], user_id="ann")

    result = await workspace.prune(older_than=timedelta(0), keep_kinds=["decision"], user_id="ann")

    assert (result.notes_deleted, result.versions_deleted, result.notes_kept) == (1, 1, 2)
    assert await slugs(workspace) == [decision.slug, cited.slug]
    assert await slugs(workspace, user_id="ben") == [of_ben.slug]
    assert await workspace.list_versions(old.slug, author="scout", user_id="ann") == []


async def test_pruning_without_an_age_deletes_no_note(workspace: ShelfWorkspace) -> None:
    note = await write(workspace, "Oil", "1")
    for body in "234":
        await workspace.update_note(author="scout", slug=note.slug, body=body, user_id="ann")

    nothing = await workspace.prune(user_id="ann")
    some = await workspace.prune(keep_last_versions=1, user_id="ann")
    await workspace.update_note(author="scout", slug=note.slug, body="5", user_id="ann")

    assert (nothing.notes_deleted, nothing.versions_deleted) == (0, 0)
    assert (some.notes_deleted, some.versions_deleted, some.notes_kept) == (0, 2, 1)
    versions = await workspace.list_versions(note.slug, author="scout", user_id="ann")
    assert [(version.version, version.body_preview) for version in versions] == [(3, "3"), (4, "4")]


async def test_forgetting_a_user_leaves_no_note_and_no_version(workspace: ShelfWorkspace) -> None:
    for user in ("ann", "ben"):
        note = await write(workspace, "Secret", user_id=user)
        await workspace.update_note(author="scout", slug=note.slug, body="more", user_id=user)

    assert await workspace.forget(user_id="ann") == 1

    assert await slugs(workspace, include_archived=True) == []
    assert await workspace.list_versions("001-secret", author="scout", user_id="ann") == []
    assert await slugs(workspace, user_id="ben") == ["001-secret"]
    assert (await write(workspace, "New")).slug == "001-new"
    assert await workspace.list_versions("001-new", author="scout", user_id="ann") == []
    assert await workspace.forget(user_id="cem") == 0


async def test_the_index_shows_all_notes_by_author(workspace: ShelfWorkspace) -> None:
    await write(workspace, "Oil", tags=["energy"])
    await write(workspace, "Why?", kind="question", answered=False, author="analyst")

    index = await workspace.render_index(user_id="ann")

    assert index.splitlines() == [
        "# Workspace",
        "",
        "## analyst",
        "",
        "- `001-why` question: Why? (open)",
        "",
        "## scout",
        "",
        "- `001-oil` finding: Oil #energy",
    ]
    assert "No notes yet" in await workspace.render_index(user_id="ben")


async def test_a_member_writes_under_a_name_beside_others(workspace: ShelfWorkspace) -> None:
    membership = workspace.member("scout", teammates=["analyst"])

    assert membership.workspace is workspace
    assert (membership.name, membership.teammates) == ("scout", ["analyst"])
