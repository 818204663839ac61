from __future__ import annotations

from pathlib import Path

import pytest

from agents.core.skills.errors import SkillError
from agents.core.skills.registry import SkillRegistry
from agents.core.skills.skill import Skill
from agents.core.skills.sources import SkillSource
from agents.core.tools.beneath import PathEscapeError
from loom.context import RunContext


def write(folder: Path, front: str = "", body: str = "Do it.", **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    front = f"name: {folder.name}\ndescription: About {folder.name}.\n{front}".strip()
    (folder / "SKILL.md").write_text(f"---\n{front}\n---\n{body}\n")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


TOOLS = """
from loom_tool import tool
""".replace("loom_tool", "agents.core.tools.tool")


def test_folders_are_searched_at_any_depth(tmp_path: Path) -> None:
    write(tmp_path / "a" / "one")
    write(tmp_path / "two")
    write(tmp_path / "node_modules" / "three")
    write(tmp_path / ".git" / "four")

    assert SkillRegistry([tmp_path]).names() == ["one", "two"]
    assert SkillRegistry([tmp_path / "two" / "SKILL.md"]).names() == ["two"]
    assert SkillRegistry([str(tmp_path / "two")]).names() == ["two"]


def test_the_later_of_two_skills_with_one_name_wins(tmp_path: Path) -> None:
    write(tmp_path / "system" / "review", body="general")
    write(tmp_path / "user" / "review", body="mine")

    registry = SkillRegistry([tmp_path / "system", (tmp_path / "user", "User")])

    assert registry.names() == ["review"]
    assert registry.load("review") == "mine"
    assert registry.metadata_map()["review"].source_label == "User"


def test_a_source_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SkillError, match="no such file or folder"):
        SkillRegistry([tmp_path / "nowhere"])


def test_a_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "skills" / "one")

    assert SkillSource.coerce("~/skills").discover()[0].name == "one"


def test_the_catalog_has_one_line_for_each_skill(tmp_path: Path) -> None:
    tools = "tools:\n  add: {script: add.py}\n  sub: {script: add.py}"
    write(tmp_path / "calc", tools, add__py="")
    write(tmp_path / "greeter", tools__py="")
    inline = Skill.from_text("---\nname: standup\ndescription: |\n  Two\n  lines\n---\n")

    section = SkillRegistry([(tmp_path, "Project"), inline]).catalog_section()

    assert section.startswith("## Available skills\n")
    assert section.splitlines()[-3:] == [
        "  - calc [+2 tools] [Project]: About calc.",
        "  - greeter [+tools] [Project]: About greeter.",
        "  - standup: Two lines",
    ]
    assert SkillRegistry().catalog_section() == ""


def test_required_skills_come_first(tmp_path: Path) -> None:
    write(tmp_path / "base", body="BASE")
    write(tmp_path / "left", "requires: [base]", body="LEFT")
    write(tmp_path / "top", "requires: [left, base]", body="TOP")
    registry = SkillRegistry([tmp_path])

    text = registry.load("top")

    assert text == "## Required skill: base\n\nBASE\n\n---\n\n## Required skill: left\n\nLEFT\n\n---\n\nTOP"
    assert all(registry.is_loaded(name) for name in ("base", "left", "top"))


def test_skills_that_require_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", "requires: [b]")
    write(tmp_path / "b", "requires: [c]")
    write(tmp_path / "c", "requires: [a]")

    with pytest.raises(SkillError, match="a → b → c → a"):
        SkillRegistry([tmp_path]).load("a")


def test_a_required_skill_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a", "requires: [base]")

    with pytest.raises(SkillError, match="unknown skill 'base', which 'a' requires"):
        SkillRegistry([tmp_path]).load("a")


def test_an_unknown_skill_is_answered_with_a_near_name(tmp_path: Path) -> None:
    write(tmp_path / "review")

    with pytest.raises(SkillError, match="did you mean 'review'"):
        SkillRegistry([tmp_path]).load("reveiw")


def test_a_registry_is_a_collection(tmp_path: Path) -> None:
    registry = SkillRegistry([write(tmp_path / "a"), write(tmp_path / "b")])

    assert (len(registry), "a" in registry, "c" in registry) == (2, True, False)
    assert [skill.name for skill in registry] == ["a", "b"]
    assert registry.remove("a") is not None
    assert (registry.remove("a"), registry.get("a"), registry.names()) == (None, None, ["b"])


async def test_python_tools_are_prefixed_and_keep_what_they_are(tmp_path: Path) -> None:
    code = TOOLS + (
        '@tool(destructive=True)\ndef wipe(path: str) -> str:\n    """Wipe."""\n    return "wiped " + path\n'
        '@tool(effect="read")\nasync def look() -> str:\n    """Look."""\n    return "seen"\n'
        "@tool\ndef _hidden() -> str:\n    return ''\n"
    )
    skill = Skill(write(tmp_path / "disk-tools", tools__py=code))

    wipe, look = skill.materialize_tools()

    assert (wipe.name, wipe.destructive, wipe.effect) == ("disk_tools__wipe", True, "irreversible")
    assert (look.name, look.destructive, look.effect) == ("disk_tools__look", False, "read")
    assert await wipe.execute({"path": "/x"}) == "wiped /x"


def test_build_tools_is_called_for_every_context(tmp_path: Path) -> None:
    code = TOOLS + (
        "def build_tools(ctx):\n    @tool\n    def orders() -> str:\n"
        "        return f'orders of {ctx.user_id}'\n    return [orders]\n"
    )
    skill = Skill(write(tmp_path / "shop", tools__py=code))

    ann = skill.materialize_tools(RunContext(user_id="ann"))[0]
    ben = skill.materialize_tools(RunContext(user_id="ben"))[0]

    assert (ann.fn(), ben.fn()) == ("orders of ann", "orders of ben")


def test_discovering_a_skill_runs_none_of_its_code(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    code = f"import pathlib\npathlib.Path({str(proof)!r}).touch()\n"

    registry = SkillRegistry([write(tmp_path / "shy", tools__py=code)])
    registry.catalog_section()
    pending = registry.get("shy").pending_tools  # type: ignore[union-attr]

    assert (pending, proof.exists()) == ([], False)
    registry.load_with_tools("shy")
    assert proof.exists()


def test_python_tools_can_be_forbidden(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    code = f"import pathlib\npathlib.Path({str(proof)!r}).touch()\n"
    registry = SkillRegistry([write(tmp_path / "shy", tools__py=code)], python_tools=False)

    with pytest.raises(SkillError, match="not allowed here"):
        registry.load_with_tools("shy")
    assert not proof.exists()


def test_code_that_cannot_be_imported_is_a_skill_error(tmp_path: Path) -> None:
    skill = Skill(write(tmp_path / "broken", tools__py="1 / 0"))

    with pytest.raises(SkillError, match=r"tools\.py of skill 'broken' cannot be imported: division by zero"):
        skill.materialize_tools()


def test_two_skills_with_a_tools_file_do_not_meet(tmp_path: Path) -> None:
    code = TOOLS + "@tool\ndef who() -> str:\n    return {!r}\n"
    one = Skill(write(tmp_path / "one", tools__py=code.format("one")))
    two = Skill(write(tmp_path / "two", tools__py=code.format("two")))

    assert [s.materialize_tools()[0].fn() for s in (one, two)] == ["one", "two"]


def test_files_are_listed_and_read_but_not_beyond_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    skill = Skill(write(tmp_path / "one", notes__md="notes"))
    (tmp_path / "one" / "out").symlink_to(tmp_path / "secret.txt")

    assert [str(path) for path in skill.list_files()] == ["notes.md"]
    assert skill.read_file("notes.md") == b"notes"
    for path in ("../secret.txt", "out", str(tmp_path / "secret.txt")):
        with pytest.raises(PathEscapeError):
            skill.read_file(path)


def test_a_skill_file_that_is_a_link_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    other = write(tmp_path / "other")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "SKILL.md").symlink_to(other / "SKILL.md")

    with pytest.raises(SkillError, match="leads out of the folder"):
        Skill(tmp_path / "linked")


def test_a_body_that_is_gone_or_became_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a" / "s") / "SKILL.md"
    skill = Skill(file)

    (tmp_path / "elsewhere.md").write_text(file.read_text())
    file.unlink()
    with pytest.raises(SkillError, match="there is no file"):
        skill.load_body()
    file.symlink_to(tmp_path / "elsewhere.md")
    with pytest.raises(SkillError, match="leads out of the folder"):
        skill.load_body()


def test_the_content_hash_changes_with_any_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "one", notes__md="notes")
    before = Skill(folder).content_hash()

    (folder / "notes.md").write_text("noteS")
    changed = Skill(folder).content_hash()
    (folder / "notes.md").rename(folder / "other.md")
    renamed = Skill(folder).content_hash()

    assert len({before, changed, renamed}) == 3
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").touch()
    assert Skill(folder).content_hash() == renamed
