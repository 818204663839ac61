"""Arguments that name files outside of the roots are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from governance.core.sandbox.base import NoSandbox
from governance.core.sandbox.filesystem import FilesystemSandbox
from loom.messages import ToolDef, ToolResult


class Recorder:
    """A host that would do whatever it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
        return [ToolDef(name="do", description=query or "")]

    async def call(self, tool: str, args: Mapping[str, Any], *, call_id: str = "") -> ToolResult:
        self.calls.append((tool, args))
        return ToolResult.success(call_id, "done")

    async def watch(self) -> AsyncIterator[Any]:
        yield "changed"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("TOP-SECRET")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "note.txt").write_text("fine")
    (root / "out").symlink_to(tmp_path)
    return root


def sandbox(root: Path, **options: Any) -> tuple[FilesystemSandbox, Recorder]:
    inner = Recorder()
    return FilesystemSandbox(inner, roots=[root], **options), inner


@pytest.mark.parametrize(
    "args",
    [
        {"path": "/etc/passwd"},
        {"path": "../secret.txt"},
        {"path": "out/secret.txt"},
        {"path": "sub/../../secret.txt"},
        {"path": "~/.ssh/id_rsa"},
        {"path": "file:///etc/passwd"},
        {"path": "..%2fsecret.txt"},
        {"path": "..\\secret.txt"},
        {"path": "a\0/../../secret.txt"},
        {"path": b"/etc/passwd"},
        {"path": Path("/etc/passwd")},
        {"input_file": "../secret.txt"},
        {"outputDir": ".."},
        {"files": ["sub/note.txt", "../secret.txt"]},
        {"files": [{"name": "x", "src": "/etc/passwd"}]},
        {"options": {"deep": {"target": "../secret.txt"}}},
        {"options": {"../secret.txt": 1}},
        {"anything": "../secret.txt"},
        {"anything": "read /etc/passwd please"},
        {"content": "/etc/passwd"},
        {"cmd": "cat ../secret.txt"},
        {"cmd": "cat<../secret.txt"},
        {"cmd": "cat .\"\".'/'secret.txt"},
        {"cmd": "cat \\.\\./secret.txt"},
        {"cmd": "cd .. && cat secret.txt"},
        {"cmd": "cat ~/.ssh/id_rsa"},
        {"cmd": "cat $HOME/x"},
        {"cmd": "cat `echo /etc/passwd`"},
        {"cmd": "cat {.,}./secret.txt"},
        {"cmd": "sh -c 'cat ../secret.txt'"},
        {"cmd": "python -c \"print(open('../secret.txt').read())\""},
        {"cmd": "tar -C.. -cf x.tar secret.txt; grep -f/etc/passwd x"},
        {"cmd": "dd if=/etc/passwd of=x"},
        {"cmd": "cat 'unclosed"},
        {"cmd": "curl file:///etc/passwd"},
        {"cmd": "cat x#/../../secret.txt"},
        {"cmd": "ls # ../secret.txt"},
        {"command": ["cat", "../secret.txt"]},
        {"script": "cat $HOME/x"},
    ],
    ids=str,
)
async def test_a_path_outside_is_refused_wherever_it_stands(args: dict[str, Any], root: Path) -> None:
    walled, inner = sandbox(root)

    result = await walled.call("do", args, call_id="c1")

    assert result.denied
    assert result.reason is not None
    assert result.reason.startswith("FilesystemSandbox: argument '")
    assert result.reason.endswith("resolves outside the allowed roots")
    assert inner.calls == []


@pytest.mark.parametrize(
    "args",
    [
        {"anything": "plain words, and/or others; 1/2 of them"},
        {"url": "https://example.org/a/b?c=../d"},
        {"content": "see /etc/hosts for\nmore"},
        {"message": "Dear Ann / Ben"},
        {"media": "text/plain"},
        {"source": "en", "target": "de"},
        {"cmd": "ls -la sub && cat sub/note.txt | grep fine > sub/copy.txt"},
        {"cmd": "curl https://example.org/a"},
        {"n": 5, "flag": True, "none": None, "list": [1, 2]},
        {"data": "A" * 300 + "/" + "B" * 300},
    ],
    ids=lambda args: str(args)[:60],
)
async def test_what_names_no_file_outside_goes_through_unchanged(args: dict[str, Any], root: Path) -> None:
    walled, inner = sandbox(root)

    result = await walled.call("do", args, call_id="c1")

    assert result.ok
    assert inner.calls == [("do", args)]


async def test_a_relative_path_is_read_from_the_root_and_not_from_where_we_stand(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    walled, inner = sandbox(root)

    await walled.call("do", {"path": "secret.txt", "files": [str(root / "sub")]})

    assert inner.calls == [("do", {"path": str(root / "secret.txt"), "files": [str(root / "sub")]})]


async def test_a_name_that_only_exists_where_we_stand_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "secret.txt").touch()
    monkeypatch.chdir(tmp_path)
    walled, inner = sandbox(root)

    assert (await walled.call("do", {"anything": "logs/secret.txt"})).denied
    assert inner.calls == []


async def test_only_named_arguments_are_looked_at_when_asked_so(root: Path) -> None:
    walled, _ = sandbox(root, path_args=["where"], auto_detect=False)

    assert (await walled.call("do", {"where": "/etc"})).denied
    assert (await walled.call("do", {"what": "/etc", "cmd": "cat /etc/passwd"})).ok


def test_a_sandbox_needs_a_root() -> None:
    with pytest.raises(ValueError, match="at least one root"):
        FilesystemSandbox(Recorder(), roots=[])


@pytest.mark.parametrize("named", [{"roots": "/tmp/work"}, {"roots": ["/tmp/work"], "path_args": "path"}])
def test_a_text_is_no_list_of_folders_or_names(named: Any) -> None:
    with pytest.raises(ValueError, match="is the text"):
        FilesystemSandbox(Recorder(), **named)


async def test_what_is_undone_has_the_paths_that_were_called(root: Path) -> None:
    class Undoing(Recorder):
        def can_undo(self, tool: str) -> bool:
            return tool == "do"

        async def undo(self, tool: str, args: Mapping[str, Any], output: Any) -> Any:
            self.calls.append((tool, args))

    inner = Undoing()
    walled = NoSandbox(FilesystemSandbox(inner, roots=[root]))
    await walled.call("do", {"path": "sub/note.txt"})
    await walled.undo("do", {"path": "sub/note.txt"}, "done")

    assert walled.can_undo("do")
    assert not walled.can_undo("look")
    assert inner.calls == [("do", {"path": str(root.resolve() / "sub/note.txt")})] * 2


async def test_wrappers_pass_the_rest_on(root: Path) -> None:
    walled, inner = sandbox(root)

    for host in (walled, NoSandbox(inner)):
        assert host.inner is inner
        assert (await host.list_tools(query="q"))[0].description == "q"
        assert [event async for event in host.watch()] == ["changed"]
    assert (await NoSandbox(inner).call("do", {"path": "/etc/passwd"})).ok
    assert walled.roots == (root.resolve(),)
