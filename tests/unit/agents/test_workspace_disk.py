import json
import os
from pathlib import Path
from urllib.parse import unquote

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.tools.beneath import PathEscapeError
from agents.core.workspace.local_disk import LocalDiskWorkspace, folder_name
from agents.core.workspace.values import Note
from loom.errors import ConfigError
from memory.core.embedders import HashEmbedder


async def write(workspace: LocalDiskWorkspace, title: str = "Oil", body: str = "text", **more: object) -> Note:
    return await workspace.write_note(**{"author": "scout", "title": title, "body": body, "user_id": "ann"} | more)  # type: ignore[arg-type]


# folders


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("alice", "alice"),
        ("alice@x.com", "alice@x.com"),
        ("alice_x.com", "alice_x.com"),
        ("alice/x.com", "alice%2fx.com"),
        ("Alice", "%41lice"),
        ("_anon", "%5fanon"),
        ("..", "%2e."),
        (".history", "%2ehistory"),
        ("a\0b\n", "a%00b%0a"),
        ("ş", "%c5%9f"),
        ("", "%"),
        ("seeds", "%73eeds"),
        (None, "_anon"),
    ],
)
def test_a_folder_says_whose_it_is(name: str | None, folder: str) -> None:
    assert folder_name(name) == folder


@given(st.lists(st.text(max_size=140), min_size=2, max_size=6, unique=True))
def test_no_two_names_share_a_folder_on_any_file_system(names: list[str]) -> None:
    folders = [folder_name(name) for name in [*names, None]]

    assert len({folder.casefold() for folder in folders}) == len(folders)
    for name, folder in zip(names, folders, strict=False):
        assert len(folder.encode()) <= 120
        assert folder not in {".", "..", "_anon"}
        assert "/" not in folder
        if name and "~" not in folder:
            assert unquote(folder) == name


# files


async def test_notes_lie_where_the_layout_says(tmp_path: Path) -> None:
    workspace = LocalDiskWorkspace(tmp_path, embedder=HashEmbedder(2))
    note = await write(workspace, namespace="ops")
    await workspace.update_note(author="scout", slug=note.slug, body="two", user_id="ann")
    await write(workspace, user_id=None)

    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())

    assert files == [
        "_anon/WORKSPACE.md",
        "_anon/notes/scout/001-oil.embedding.json",
        "_anon/notes/scout/001-oil.md",
        "ann/WORKSPACE.md",
        "ann/notes/scout/.history/001-oil/0001.md",
        "ann/notes/scout/ops/001-oil.embedding.json",
        "ann/notes/scout/ops/001-oil.md",
    ]
    assert "`001-oil` finding: Oil" in (tmp_path / "ann/WORKSPACE.md").read_text()


async def test_a_note_is_a_file_that_people_and_yaml_can_read(tmp_path: Path) -> None:
    import yaml

    note = await write(LocalDiskWorkspace(tmp_path), 'He said: "no" # really', "the text\n", tags=["a: b"])

    head, body = (tmp_path / f"ann/notes/scout/{note.slug}.md").read_text().removeprefix("---\n").split("\n---\n\n", 1)
    fields = yaml.safe_load(head)
    assert (fields["title"], fields["tags"], fields["author"]) == (note.title, ["a: b"], "scout")
    assert body == "the text\n"


async def test_another_process_finds_the_notes_again(tmp_path: Path) -> None:
    note = await write(LocalDiskWorkspace(tmp_path))

    assert await LocalDiskWorkspace.open(tmp_path).read_note(note.slug, user_id="ann") == note


async def test_two_processes_never_give_two_notes_one_slug(tmp_path: Path) -> None:
    one, other = LocalDiskWorkspace(tmp_path), LocalDiskWorkspace(tmp_path)

    async with anyio.create_task_group() as writers:
        for number in range(20):
            writers.start_soon(lambda n=number: write((one, other)[n % 2], "Same", f"text {n}"))

    notes = await one.list_notes(user_id="ann")
    assert len({note.slug for note in notes}) == len({note.lede for note in notes}) == 20


async def test_a_note_that_is_being_written_elsewhere_is_not_there_yet(tmp_path: Path) -> None:
    workspace = LocalDiskWorkspace(tmp_path)
    await write(workspace)
    (tmp_path / "ann/notes/scout/002-oil.md").touch()

    assert [note.slug for note in await workspace.list_notes(user_id="ann")] == ["001-oil"]
    assert (await write(workspace)).slug == "003-oil"


async def test_no_reader_ever_sees_half_a_note(tmp_path: Path) -> None:
    workspace, reader = LocalDiskWorkspace(tmp_path), LocalDiskWorkspace(tmp_path)
    note = await write(workspace, body="a" * 50_000)
    seen = set()

    async def change() -> None:
        for number in range(20):
            await workspace.update_note(author="scout", slug=note.slug, body=f"{number % 10}" * 50_000, user_id="ann")
        readers.cancel_scope.cancel()

    async def read() -> None:
        while True:
            found = await reader.read_note(note.slug, user_id="ann")
            assert found is not None
            seen.add((len(found.body), len(set(found.body))))

    async with anyio.create_task_group() as readers:
        readers.start_soon(change)
        readers.start_soon(read)

    assert seen == {(50_000, 1)}


@pytest.mark.parametrize(
    "text", ["", "no frontmatter", "---\ntitle: broken", "---\nslug: 1\n---\n\nx", "---\n{}\n---\n"]
)
async def test_files_that_are_no_notes_are_left_out(tmp_path: Path, text: str) -> None:
    workspace = LocalDiskWorkspace(tmp_path)
    await write(workspace)
    (tmp_path / "ann/notes/scout/002-x.md").write_text(text)

    assert [note.slug for note in await workspace.list_notes(user_id="ann")] == ["001-oil"]


async def test_a_file_cannot_claim_to_be_of_another_author_user_or_slug(tmp_path: Path) -> None:
    workspace = LocalDiskWorkspace(tmp_path)
    note = await write(workspace)
    text = (tmp_path / "ann/notes/scout/001-oil.md").read_text()
    forged = tmp_path / "ann/notes/scout/002-forged.md"
    for wrong, right in (('"scout"', '"boss"'), ('"001-oil"', '"../../../ben/notes/scout/001-oil"')):
        forged.write_text(text.replace(wrong, right))
        assert [found.slug for found in await workspace.list_notes(user_id="ann")] == [note.slug]

    forged.rename(tmp_path / "ann/notes/scout/001-oil.md")
    (tmp_path / "ann/notes/scout/001-oil.md").write_text(text.replace('"ann"', '"ben"'))
    (found,) = [await workspace.read_note("001-oil", user_id="ann")]
    assert found is not None
    assert found.user_id == "ann"


async def test_a_link_leads_to_no_note_outside(tmp_path: Path) -> None:
    workspace = LocalDiskWorkspace(tmp_path / "ws")
    secret = await write(workspace, "Secret", "of ben", user_id="ben")
    await write(workspace)
    of_ben = tmp_path / "ws/ben/notes/scout/001-secret.md"
    of_ann = tmp_path / "ws/ann/notes/scout"
    (of_ann / "002-link.md").symlink_to(of_ben)
    os.link(of_ben, of_ann / "001-secret.md")
    (of_ann / "dir").symlink_to(tmp_path / "ws/ben/notes/scout")

    assert [note.slug for note in await workspace.list_notes(user_id="ann")] == ["001-oil"]
    for slug in ("002-link", "001-secret"):
        with pytest.raises(FileNotFoundError):
            await workspace.update_note(author="scout", slug=slug, body="OVERWRITTEN", user_id="ann")
    (of_ann / "001-secret.md").unlink()
    assert await workspace.read_note(secret.slug, user_id="ben") == secret


async def test_a_folder_that_was_swapped_for_a_link_is_not_written_through(tmp_path: Path) -> None:
    workspace = LocalDiskWorkspace(tmp_path / "ws")
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "ws/ann").symlink_to(outside)

    with pytest.raises(PathEscapeError):
        await write(workspace)

    assert list(outside.iterdir()) == []


# life


async def test_a_temporary_workspace_is_gone_when_it_is_closed(tmp_path: Path) -> None:
    async with LocalDiskWorkspace.temp(prefix="loom-test-") as workspace:
        await write(workspace)
        root = workspace.root
        assert root.name.startswith("loom-test-")
    kept = LocalDiskWorkspace.temp(cleanup=False)
    await kept.aclose()

    assert not root.exists()
    assert kept.root.exists()
    kept.root.rmdir()


async def test_a_workspace_on_disk_stays_when_it_is_closed(tmp_path: Path) -> None:
    async with LocalDiskWorkspace(tmp_path / "ws") as workspace:
        await write(workspace)

    assert (tmp_path / "ws/ann/WORKSPACE.md").exists()


async def test_what_a_workspace_begins_with_is_copied_and_each_user_gets_a_copy(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/prices.csv").write_text("1")
    (tmp_path / "readme.md").write_text("hello")
    workspace = LocalDiskWorkspace(tmp_path / "ws", seed_paths=[tmp_path / "data", tmp_path / "readme.md"])

    assert (workspace.root / "seeds/data/prices.csv").read_text() == "1"
    tools = {tool.name: tool for tool in workspace.filesystem_tools(user_id="Ann")}
    assert set(tools) == {"read", "write", "edit", "grep", "find", "ls"}
    assert "hello" in await tools["read"].execute({"path": "seeds/readme.md"})
    await tools["write"].execute({"path": "seeds/readme.md", "content": "changed"})
    assert (workspace.root / "%41nn/seeds/readme.md").read_text() == "changed"
    assert (workspace.root / "seeds/readme.md").read_text() == "hello"
    with pytest.raises(ConfigError, match="cannot begin with"):
        LocalDiskWorkspace(tmp_path / "ws", seed_paths=["nowhere"])


async def test_file_tools_of_a_user_do_not_reach_another(tmp_path: Path) -> None:
    workspace = LocalDiskWorkspace(tmp_path)
    await write(workspace, "Secret", "of ben", user_id="ben")
    tools = {tool.name: tool for tool in workspace.filesystem_tools(user_id="ann", include_bash=True)}

    assert "bash" in tools
    assert "ERROR" in await tools["read"].execute({"path": "../ben/notes/scout/001-secret.md"})
    assert "001-secret" not in await tools["find"].execute({"glob": "**/*"})


async def test_a_user_named_like_the_folder_of_seeds_has_a_folder_of_his_own(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("1")
    workspace = LocalDiskWorkspace(tmp_path / "ws", seed_paths=[tmp_path / "prices.csv"])

    await write(workspace, "Secret", "of his", user_id="seeds")
    his, hers = (
        {tool.name: tool for tool in workspace.filesystem_tools(user_id=user_id)} for user_id in ("seeds", "ann")
    )
    await his["write"].execute({"path": "prices.csv", "content": "2"})
    await workspace.forget(user_id="seeds")

    assert await hers["find"].execute({"glob": "*"}) == "seeds/prices.csv"
    assert (workspace.root / "seeds/prices.csv").read_text() == "1"


async def test_vectors_lie_beside_the_notes_and_go_with_them(tmp_path: Path) -> None:
    from datetime import timedelta

    workspace = LocalDiskWorkspace(tmp_path, embedder=HashEmbedder(3))
    note = await write(workspace)
    file = tmp_path / "ann/notes/scout/001-oil.embedding.json"
    before = json.loads(file.read_text())
    await workspace.update_note(author="scout", slug=note.slug, body="other", user_id="ann")

    assert before == await HashEmbedder(3).embed("Oil\n\ntext")
    assert json.loads(file.read_text()) == await HashEmbedder(3).embed("Oil\n\nother")
    await workspace.prune(older_than=timedelta(0), user_id="ann")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["WORKSPACE.md"]
