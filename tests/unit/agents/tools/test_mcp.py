"""The MCP client against a real server process, over stdio and over Streamable HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import pytest

from agents.core.tools.base import ToolHost
from agents.core.tools.mcp.client import MCPClient
from agents.core.tools.mcp.connection import Door
from agents.core.tools.mcp.registry import MCPRegistry
from agents.core.tools.mcp.spec import MCPServerSpec
from loom.context import RunContext, set_run_context
from loom.errors import MCPError

SERVER = str(Path(__file__).with_name("mcp_server.py"))
PLAIN_SERVER = str(Path(__file__).with_name("mcp_plain_server.py"))


def small() -> MCPServerSpec:
    return MCPServerSpec.stdio("small", sys.executable, [SERVER, "stdio"])


def plain(**changes: object) -> MCPServerSpec:
    return MCPServerSpec.stdio("plain", sys.executable, [PLAIN_SERVER], **changes)  # type: ignore[arg-type]


@contextmanager
def http_server(port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, SERVER, "http", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/mcp", process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with http_server() as (address, _):
        yield address


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[MCPRegistry]:
    registry = MCPRegistry([small()])
    yield registry
    await registry.aclose()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


async def ended(pid: int) -> bool:
    with anyio.move_on_after(10):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            await anyio.sleep(0.02)
    return False


async def test_a_registry_is_a_tool_host_over_a_stdio_server(shared: MCPRegistry) -> None:
    assert isinstance(shared, ToolHost)

    tools = {tool.name: tool for tool in await shared.list_tools()}
    result = await shared.call("add", {"a": 2, "b": 3}, call_id="c1")

    assert tools["add"].server == "small"
    assert tools["add"].input_schema["required"] == ["a", "b"]
    assert (result.ok, result.output, result.call_id) == (True, {"result": 5}, "c1")


async def test_annotations_become_effects(shared: MCPRegistry) -> None:
    tools = {tool.name: tool for tool in await shared.list_tools()}

    assert (tools["files.read"].effect, tools["files.read"].destructive) == ("read", False)
    assert (tools["mark"].effect, tools["mark"].destructive) == ("idempotent", False)
    assert (tools["wipe"].effect, tools["wipe"].destructive) == ("irreversible", True)
    assert (tools["add"].effect, tools["add"].destructive) == ("irreversible", False)


async def test_a_tool_name_with_a_dot_is_sent_unchanged(shared: MCPRegistry) -> None:
    result = await shared.call("files.read", {"path": "a.txt"})

    assert result.output == "read a.txt"


async def test_server_dot_tool_always_works(shared: MCPRegistry) -> None:
    assert (await shared.call("small.add", {"a": 1, "b": 1})).output == {"result": 2}
    assert (await shared.call("small.files.read", {"path": "b"})).output == "read b"


async def test_a_failing_tool_is_an_error_result_and_the_connection_stays(shared: MCPRegistry) -> None:
    before = (await shared.call("process", {})).output

    failed = await shared.call("refuse", {})
    wrong = await shared.call("add", {"a": "x"})

    assert not failed.ok
    assert "not today" in (failed.error or "")
    assert not wrong.ok
    assert (await shared.call("process", {})).output == before


async def test_an_unknown_tool_is_an_error_result(shared: MCPRegistry) -> None:
    result = await shared.call("serch", {})

    assert (result.ok, result.error) == (False, "unknown tool: serch")


async def test_a_long_answer_is_cut_at_one_megabyte_with_a_mark(shared: MCPRegistry) -> None:
    result = await shared.call("repeat", {"text": "ab", "times": 1_000_000})

    assert result.ok
    assert len(result.output) < 1_049_000
    assert result.output.endswith("(cut here: the tool answered 2000000 bytes, the limit is 1048576)")


async def test_blocks_without_text_come_as_they_are(shared: MCPRegistry) -> None:
    result = await shared.call("picture", {})

    assert result.output == [{"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}]


async def test_calls_run_at_the_same_time(shared: MCPRegistry) -> None:
    results = []

    async def add(number: int) -> None:
        results.append((await shared.call("add", {"a": number, "b": 0})).output["result"])

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(add, number)

    assert sorted(results) == list(range(30))


async def test_tools_can_be_searched(shared: MCPRegistry) -> None:
    assert [tool.name for tool in await shared.list_tools(query="TWO NUMBERS")] == ["add"]


async def test_a_server_sees_only_the_environment_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    async with MCPRegistry([plain(env={"TOKEN": "given"})]) as registry:
        seen = (await registry.call("environment", {})).output

    assert seen["TOKEN"] == "given"
    assert "sk-secret" not in seen.values()


async def test_a_connection_made_in_one_task_is_used_and_closed_in_others() -> None:
    registry = MCPRegistry([plain()])
    seen = []

    async def work() -> None:
        seen.append((await registry.call("process", {})).output)

    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(registry.aclose)

    assert seen[0] == seen[1]
    assert await ended(int(seen[0]))


def test_a_connection_outlives_the_event_loop_that_made_it() -> None:
    registry = MCPRegistry([plain()])

    async def process() -> str:
        return str((await registry.call("process", {})).output)

    with ThreadPoolExecutor() as threads:
        first = threads.submit(anyio.run, process).result()
        second = threads.submit(anyio.run, process).result()
        threads.submit(anyio.run, registry.aclose).result()

    assert first == second


def test_a_forked_worker_makes_connections_of_its_own() -> None:
    code = """
import os, sys, anyio
from agents.core.tools.mcp.registry import MCPRegistry
from agents.core.tools.mcp.spec import MCPServerSpec

registry = MCPRegistry([MCPServerSpec.stdio("plain", sys.executable, [sys.argv[1]])])

async def learn():
    return (await registry.call("learn", {})).output

first = anyio.run(learn)
child = os.fork()
if child == 0:
    os._exit(0 if anyio.run(learn) == first else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or anyio.run(learn) != first)
"""
    command = [sys.executable, "-W", "ignore", "-c", code, PLAIN_SERVER]

    ended = subprocess.run(command, cwd=Path(__file__).parents[4], timeout=60, check=False)

    assert ended.returncode == 0


async def test_a_dropped_client_ends_its_server() -> None:
    client = MCPClient(plain())
    pid = int((await client.call_tool("process", {})).content[0].text)

    del client
    await MCPRegistry().connect()
    other = MCPClient(MCPServerSpec.stdio("none", "/nonexistent"))
    with pytest.raises(MCPError):
        await other.connect()

    assert await ended(pid)


async def test_a_call_that_broke_the_connection_is_not_made_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"

    async with MCPRegistry([plain()]) as registry:
        result = await registry.call("pay", {"ledger": str(ledger)})
        lines = ledger.read_text().splitlines()
        after = await registry.call("add", {"a": 1, "b": 1})

    assert not result.ok
    assert "may have been carried out" in (result.error or "")
    assert lines == ["done"]
    assert after.output == {"result": 2}


async def test_a_call_that_is_harmless_to_repeat_is_made_again_over_a_new_connection(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"

    async with MCPRegistry([plain()]) as registry:
        result = await registry.call("mark", {"ledger": str(ledger)})

    assert result.ok
    assert ledger.read_text().splitlines() == ["done", "done"]


async def test_a_server_that_died_between_two_calls_is_started_again() -> None:
    async with MCPClient(plain()) as client:
        pid = int((await client.call_tool("process", {})).content[0].text)
        os.kill(pid, signal.SIGKILL)
        with anyio.fail_after(10):
            while client.is_connected:
                await anyio.sleep(0.01)

        answer = await client.call_tool("add", {"a": 1, "b": 1})

    assert answer.structured_content == {"result": 2}


async def test_a_call_that_takes_too_long_is_an_error_and_the_server_stays_in_use() -> None:
    async with MCPRegistry([plain(timeout_seconds=0.5)]) as registry:
        pid = (await registry.call("process", {})).output

        late = await registry.call("sleep", {"seconds": 1.5})
        await anyio.sleep(1.5)
        after = await registry.call("process", {})

    assert late.error == "MCP server 'plain' did not answer the call of 'sleep' within 0.5 s"
    assert after.output == pid


async def test_a_cancelled_call_leaves_the_connection_in_use(shared: MCPRegistry) -> None:
    before = (await shared.call("process", {})).output

    with anyio.move_on_after(0.1) as scope:
        await shared.call("sleep", {"seconds": 0.4})

    assert scope.cancelled_caught
    assert (await shared.call("process", {})).output == before


async def test_a_server_that_cannot_be_reached_is_reported_and_the_others_work() -> None:
    broken = MCPServerSpec.stdio("broken", sys.executable, ["-c", "import sys; sys.exit('no licence key')"])
    nowhere = MCPServerSpec.http("nowhere", "http://127.0.0.1:9/mcp")

    async with MCPRegistry([broken, plain(), nowhere]) as registry:
        result = await registry.call("add", {"a": 1, "b": 1})
        unknown = await registry.call("search", {})

        assert result.ok
        assert registry.server_names == ["broken", "plain", "nowhere"]
        assert sorted(registry.problems) == ["broken", "nowhere"]
        assert "no licence key" in registry.problems["broken"]
        assert unknown.error == "unknown tool: search (servers that cannot be reached: broken, nowhere)"


async def test_a_spec_that_leads_nowhere_is_an_mcp_error() -> None:
    wrong = [
        MCPServerSpec(name="a", transport="stdio"),
        MCPServerSpec(name="b", transport="http"),
        MCPServerSpec(name="c", transport="pigeon", command="coo"),  # type: ignore[arg-type]
    ]
    for spec in wrong:
        with pytest.raises(MCPError, match=f"MCP server '{spec.name}'"):
            await MCPClient(spec).connect()


@pytest.mark.parametrize("spec", [small(), plain()], ids=["stateless", "handshake"])
async def test_tools_that_a_server_adds_are_seen_and_announced(spec: MCPServerSpec) -> None:
    async with MCPRegistry([spec]) as registry:
        seen = []

        async def watch() -> None:
            async for event in registry.watch():
                seen.append((event.kind, event.tool, event.server))  # noqa: PERF401 - it is looked at while it grows

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            await registry.call("learn", {})
            with anyio.fail_after(10):
                while not seen:
                    await anyio.sleep(0.01)
            result = await registry.call("trick", {})
            await registry.aclose()

    assert seen == [("added", "trick", spec.name)]
    assert result.output in ({"result": "done"}, "did trick")


async def test_a_changed_descriptor_is_quarantined_before_the_next_call() -> None:
    async with MCPRegistry([small()]) as first:
        accepted = await first.manifest()

    async with MCPRegistry([small()], pinned=accepted) as registry:
        assert (await registry.call("add", {"a": 1, "b": 1})).ok
        await registry.call("mutate", {})
        with anyio.fail_after(10):
            while "add" in [tool.name for tool in await registry.list_tools()]:
                await anyio.sleep(0.01)

        refused = await registry.call("add", {"a": 1, "b": 1})
        other = await registry.call("files.read", {"path": "x"})

    assert not refused.ok
    assert "add is quarantined" in (refused.error or "")
    assert list(registry.quarantined) == ["small.add"]
    assert other.ok


async def test_resources_and_prompts_can_be_listed_and_read(shared: MCPRegistry) -> None:
    client = await shared.client("small")

    resources = await client.list_resources()
    note = await client.read_resource("note://today")
    prompts = await client.list_prompts()
    greeting = await client.get_prompt("greet", {"name": "Ann"})

    assert [str(resource.uri) for resource in resources] == ["note://today"]
    assert note.contents[0].text == "buy milk"
    assert [prompt.name for prompt in prompts] == ["greet"]
    assert greeting.messages[0].content.text == "Say hello to Ann."


async def test_an_http_server_is_used_like_a_stdio_one(url: str) -> None:
    async with MCPRegistry([MCPServerSpec.http("web", url)]) as registry:
        result = await registry.call("add", {"a": 2, "b": 3})

        assert result.output == {"result": 5}
        assert registry.problems == {}


async def test_an_answer_that_would_fill_the_memory_is_not_read(url: str) -> None:
    async with MCPRegistry([MCPServerSpec.http("web", url)]) as registry:
        long = await registry.call("repeat", {"text": "ab", "times": 1_000_000})
        flood = await registry.call("repeat", {"text": "ab", "times": 10_000_000})

    assert long.output.endswith("the limit is 1048576)")
    assert "larger than 16777216 bytes" in (flood.error or "")


async def test_a_redirect_to_another_origin_is_not_followed(url: str) -> None:
    reached: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reached.append(self.headers.get("Authorization", ""))
            self.send_response(307)
            self.send_header("Location", url)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        spec = MCPServerSpec.http("moved", f"http://127.0.0.1:{server.server_port}/mcp", {"Authorization": "Bearer a"})
        registry = MCPRegistry([spec])
        await registry.connect()
        server.shutdown()

    assert reached
    assert "moved" in registry.problems


async def test_two_servers_with_the_same_tools_are_told_apart(url: str) -> None:
    async with MCPRegistry([small(), MCPServerSpec.http("web", url, {"Authorization": "Bearer w"})]) as registry:
        names = [tool.name for tool in await registry.list_tools()]
        local = await registry.call("small.caller", {})
        web = await registry.call("web.caller", {})
        unclear = await registry.call("caller", {})

    assert "caller" not in names
    assert (local.output, web.output) == ("nobody", "Bearer w")
    assert unclear.error == "unknown tool: caller; did you mean small.caller or web.caller?"


async def test_every_user_speaks_with_his_own_credentials(url: str) -> None:
    tokens = {"ann": "a-1", "ben": "b-1"}

    async def headers(context: RunContext) -> dict[str, str]:
        return {"Authorization": f"Bearer {tokens[str(context.user_id)]}"}

    async with MCPRegistry([MCPServerSpec.http("web", url, headers)]) as registry:
        heard = []

        async def ask(user: str) -> None:
            async with set_run_context(RunContext(user_id=user)):
                heard.append((user, (await registry.call("caller", {})).output))

        async with anyio.create_task_group() as tasks:
            for user in ("ann", "ben"):
                tasks.start_soon(ask, user)
        tokens["ann"] = "a-2"
        await ask("ann")
        await ask("cem")

    assert sorted(heard[:2]) == [("ann", "Bearer a-1"), ("ben", "Bearer b-1")]
    assert heard[2:] == [("ann", "Bearer a-2"), ("cem", None)]
    assert "web" in registry.problems


async def test_a_client_in_a_registry_gives_every_user_his_own_credentials_too() -> None:
    started: list[list[str]] = []

    def noted(command: list[str]) -> list[str]:
        started.append(command)
        return command

    client = MCPClient(plain(env=lambda context: {"TOKEN": context.user_id or ""}), door=Door(wrap_command=noted))
    async with MCPRegistry([client]) as registry:
        processes = []
        for user in ("ann", "ben"):
            async with set_run_context(RunContext(user_id=user)):
                processes.append((await registry.call("process", {})).output)

    assert processes[0] != processes[1]
    assert len(started) == 3  # by the client's door: nobody's, Ann's and Ben's


async def test_a_client_does_not_lend_the_credentials_of_one_user_to_another() -> None:
    client = MCPClient(plain(env=lambda context: {"TOKEN": context.user_id or ""}))
    async with set_run_context(RunContext(user_id="ann")):
        await client.list_tools()

    async with set_run_context(RunContext(user_id="ben")):
        for ask in (client.list_tools(), client.call_tool("process", {})):
            with pytest.raises(MCPError, match="another user"):
                await ask
        await client.aclose()
        assert await client.list_tools()
    await client.aclose()


async def test_of_two_users_who_first_need_a_client_at_once_it_speaks_for_one() -> None:
    asked = anyio.Event()

    async def token(context: RunContext) -> dict[str, str]:
        if context.user_id == "ann":
            asked.set()
            await anyio.sleep(0.2)
        return {"TOKEN": context.user_id or ""}

    client = MCPClient(plain(env=token))

    async def ask(user: str, outcomes: dict[str, Any]) -> None:
        async with set_run_context(RunContext(user_id=user)):
            try:
                outcomes[user] = await client.call_tool("process", {})
            except MCPError as error:
                outcomes[user] = str(error)

    outcomes: dict[str, Any] = {}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "ann", outcomes)
        await asked.wait()
        tasks.start_soon(ask, "ben", outcomes)
    async with set_run_context(RunContext(user_id="ben")):
        await client.call_tool("process", {})
    await client.aclose()

    assert "another user" in outcomes["ann"]


def test_a_registry_works_under_trio() -> None:
    async def use() -> None:
        async with MCPRegistry([plain()]) as registry:
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(registry.refresh)
            assert (await registry.call("process", {})).ok

    with ThreadPoolExecutor(1) as pool:
        pool.submit(anyio.run, use, backend="trio").result()


async def test_two_users_with_the_same_credentials_do_not_share_a_connection() -> None:
    async with MCPRegistry([plain(env=lambda context: {"TOKEN": "shared"})]) as registry:
        processes = []
        for user in ("ann", "ben", "ann"):
            async with set_run_context(RunContext(user_id=user)):
                processes.append((await registry.call("process", {})).output)

    assert processes[0] == processes[2]
    assert processes[0] != processes[1]


async def test_an_http_server_that_was_restarted_is_found_again() -> None:
    with http_server() as (address, process):
        registry = MCPRegistry([MCPServerSpec.http("web", address)])
        assert (await registry.call("add", {"a": 1, "b": 1})).ok
        process.kill()
        process.wait()
        lost = await registry.call("add", {"a": 1, "b": 1})

    port = int(address.rsplit(":", 1)[1].split("/")[0])
    with http_server(port):
        with anyio.fail_after(20):
            while not (found := await registry.call("add", {"a": 1, "b": 1})).ok:
                await anyio.sleep(0.1)
        await registry.aclose()

    assert not lost.ok
    assert found.output == {"result": 2}


async def test_changes_are_announced_over_http_too(url: str) -> None:
    async with MCPRegistry([MCPServerSpec.http("web", url)]) as registry:
        await registry.call("learn", {})
        with anyio.fail_after(10):
            while "trick" not in [tool.name for tool in await registry.list_tools()]:
                await anyio.sleep(0.01)
