from pathlib import Path
from typing import Any

import pytest

from agents.core.tools.tool import Tool
from agents.core.workspace.in_memory import InMemoryWorkspace
from agents.core.workspace.local_disk import LocalDiskWorkspace
from agents.core.workspace.prompt import workspace_prompt_section
from agents.core.workspace.resolver import resolve_workspace
from agents.core.workspace.tools import make_workspace_tools
from agents.core.workspace.values import WorkspaceMembership
from loom.context import RunContext, set_run_context
from loom.errors import ConfigError


def by_name(tools: list[Tool]) -> dict[str, Tool]:
    return {tool.name: tool for tool in tools}


def test_the_tools_are_named_as_agreed() -> None:
    workspace = InMemoryWorkspace()
    plain = ["note", "read_note", "list_notes", "search_notes", "update_note"]
    asking = ["ask_question", "answer_question", "list_open_questions"]

    assert [tool.name for tool in make_workspace_tools(workspace)] == [*plain, "archive_note"]
    assert [tool.name for tool in make_workspace_tools(workspace, include_archive=False)] == plain
    assert [tool.name for tool in make_workspace_tools(workspace, questions=True)] == [*plain, "archive_note", *asking]
    assert make_workspace_tools(workspace, tool_prefix="team")[0].name == "team__note"


def test_a_model_sees_what_each_tool_takes() -> None:
    note = by_name(make_workspace_tools(InMemoryWorkspace()))["note"].to_def()

    assert note.input_schema["required"] == ["title", "body"]
    assert set(note.input_schema["properties"]) == {"title", "body", "kind", "tags"}
    assert note.description.startswith("Write a note")


async def test_one_set_of_tools_serves_each_user_apart() -> None:
    workspace = InMemoryWorkspace()
    tools = by_name(make_workspace_tools(workspace, author="scout", namespace="ops"))

    for user in ("ann", "ben"):
        async with set_run_context(RunContext(user_id=user, run_id=f"run_{user}")):
            assert await tools["note"].execute({"title": "Secret", "body": f"of {user}"}) == "Noted as 001-secret."
            assert f"of {user}" in await tools["read_note"].execute({"slug_or_title": "001-secret"})
            assert f"of {user}" in await tools["search_notes"].execute({"query": "secret"})

    note = await workspace.read_note("001-secret", user_id="ann")
    assert note is not None
    assert (note.author, note.namespace, note.run_id, note.body) == ("scout", "ops", "run_ann", "of ann")
    assert workspace.cited_slugs(user_id="ann", run_id="run_ann") == ["001-secret"]


async def test_a_tool_after_a_failed_run_works_for_nobody_else() -> None:
    workspace = InMemoryWorkspace()
    tools = by_name(make_workspace_tools(workspace))

    async def fail() -> None:
        async with set_run_context(RunContext(user_id="ann")):
            await tools["note"].execute({"title": "Secret", "body": "of ann"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await tools["list_notes"].execute({}) == "There are no notes."


async def test_notes_are_listed_updated_and_put_away() -> None:
    tools = by_name(make_workspace_tools(InMemoryWorkspace(), author="scout"))
    await tools["note"].execute({"title": "Oil", "body": "one", "kind": "decision"})

    assert "001-oil (decision by scout" in await tools["list_notes"].execute({"kind": "decision"})
    assert await tools["update_note"].execute({"slug": "001-oil", "body": "two"}) == "Updated 001-oil."
    assert "two" in await tools["read_note"].execute({"slug_or_title": "oil"})
    assert await tools["archive_note"].execute({"slug": "001-oil"}) == "Archived 001-oil."
    assert await tools["list_notes"].execute({}) == "There are no notes."
    assert await tools["read_note"].execute({"slug_or_title": "gas"}) == "There is no note 'gas'."


async def test_a_question_is_open_until_a_teammate_answers_it() -> None:
    workspace = InMemoryWorkspace()
    scout = by_name(make_workspace_tools(workspace, author="scout", questions=True))
    analyst = by_name(make_workspace_tools(workspace, author="analyst", questions=True))
    await analyst["note"].execute({"title": "Why", "body": "a note of the analyst with the same slug"})
    await scout["ask_question"].execute({"title": "Why?", "body": "Why did it rise?"})
    assert "001-why" in await analyst["list_open_questions"].execute({})

    answered = await analyst["answer_question"].execute({"slug": "scout/001-why", "answer": "The storm."})

    assert answered == "Answered 001-why in 002-answer-why."
    assert await analyst["list_open_questions"].execute({}) == "No question is open."
    question = await workspace.read_note("scout/001-why")
    answer = await workspace.read_note("002-answer-why")
    assert question is not None
    assert answer is not None
    assert (question.body, question.answered_by) == ("Why did it rise?", "analyst")
    assert (answer.author, answer.parent_slug) == ("analyst", "001-why")
    with pytest.raises(FileNotFoundError, match="no question"):
        await analyst["answer_question"].execute({"slug": "002-answer-why", "answer": "?"})


def test_the_instructions_say_only_what_is_there() -> None:
    short = workspace_prompt_section(author="scout", include_archive=False)
    long = workspace_prompt_section(author="scout", teammates=["analyst", "critic"], questions=True)

    assert "archive_note" not in short
    assert "ask_question" not in short
    assert "'scout'" in short
    assert all(word in long for word in ("archive_note", "ask_question", "analyst, critic"))


# specs


def test_no_workspace_is_made_unless_asked_for() -> None:
    assert resolve_workspace(None) is None


@pytest.mark.parametrize("spec", ["memory", "inmemory", {"backend": "memory"}])
def test_a_workspace_in_memory(spec: Any) -> None:
    assert isinstance(resolve_workspace(spec), InMemoryWorkspace)


async def test_a_temporary_workspace_may_have_a_prefix() -> None:
    for spec, prefix in (
        ("temp", "loom-workspace-"),
        ("temp:crew-", "crew-"),
        ({"backend": "temp", "prefix": "crew-"}, "crew-"),
    ):
        workspace = resolve_workspace(spec)
        assert isinstance(workspace, LocalDiskWorkspace)
        assert workspace.root.name.startswith(prefix)
        await workspace.aclose()
        assert not workspace.root.exists()


def test_a_path_is_a_workspace_on_disk(tmp_path: Path) -> None:
    (tmp_path / "seed.txt").write_text("hello")
    for spec in (
        str(tmp_path / "a"),
        tmp_path / "a",
        {"path": str(tmp_path / "a")},
        {"backend": "disk", "path": tmp_path / "a", "seed": str(tmp_path / "seed.txt")},
    ):
        workspace = resolve_workspace(spec)
        assert isinstance(workspace, LocalDiskWorkspace)
        assert workspace.root == (tmp_path / "a").resolve()
    assert (tmp_path / "a/seeds/seed.txt").exists()


def test_a_name_or_teammates_make_a_membership() -> None:
    inner = InMemoryWorkspace()

    membership = resolve_workspace({"backend": inner, "author": "scout", "teammates": ["analyst"]})

    assert membership == WorkspaceMembership(workspace=inner, name="scout", teammates=["analyst"])
    assert resolve_workspace(membership) is membership
    assert resolve_workspace(inner) is inner


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "empty text"),
        ({"backend": "cloud"}, "no workspace backend 'cloud'"),
        ({"backend": "disk"}, "needs a path"),
        ({}, "no workspace backend None"),
        ({"backend": "memory", "pathh": "x"}, "workspace has no 'pathh'; did you mean 'path'"),
        (42, "not int"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_workspace(spec)
