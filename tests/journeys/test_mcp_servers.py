"""MCP servers as they are published, used through the registry: Python and npm, both protocol eras, both transports.

The Python servers are development dependencies. The npm ones are installed once into var/test-node.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import anyio
import pytest

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.tools.mcp.registry import MCPRegistry
from agents.core.tools.mcp.spec import MCPServerSpec
from loom.messages import ToolCall

NODE_HOME = Path(__file__).parents[2] / "var" / "test-node"
NODE_SERVERS = {"everything": "2026.8.31", "filesystem": "2026.8.31", "memory": "2026.8.31"}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def node_bin() -> Path:
    """The folder with the npm servers' commands."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are needed for these servers; install Node.js")
    NODE_HOME.mkdir(parents=True, exist_ok=True)
    with (NODE_HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install()
    return NODE_HOME / "node_modules" / ".bin"


def _install() -> None:
    wanted = {f"@modelcontextprotocol/server-{name}": version for name, version in NODE_SERVERS.items()}
    manifest = NODE_HOME / "package.json"
    content = json.dumps({"name": "loom-test-servers", "private": True, "dependencies": wanted})
    if manifest.exists() and manifest.read_text() == content and (NODE_HOME / "node_modules").is_dir():
        return
    manifest.write_text(content)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    installed = subprocess.run(command, cwd=NODE_HOME, capture_output=True, text=True, timeout=300)
    if installed.returncode != 0:
        manifest.unlink()
        pytest.skip(f"the npm registry is out of reach: {installed.stderr[-300:]}")


def python_server(name: str, *args: str) -> MCPServerSpec:
    beside = str(Path(sys.executable).parent)
    command = shutil.which(f"mcp-server-{name}", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if command is None:
        pytest.skip(f"mcp-server-{name} is not installed; run `uv sync`")
    return MCPServerSpec.stdio(name, command, args)


@pytest.fixture(scope="module")
async def everything(node_bin: Path) -> AsyncIterator[MCPRegistry]:
    registry = MCPRegistry([MCPServerSpec.stdio("everything", str(node_bin / "mcp-server-everything"))])
    yield registry
    await registry.aclose()


async def test_the_time_server_tells_and_converts_time() -> None:
    async with MCPRegistry([python_server("time")]) as registry:
        now = await registry.call("get_current_time", {"timezone": "Asia/Tokyo"})
        then = await registry.call(
            "convert_time",
            {"source_timezone": "Asia/Tokyo", "time": "16:30", "target_timezone": "UTC"},
        )
        wrong = await registry.call("get_current_time", {"timezone": "Moon/Crater"})

    assert now.output["timezone"] == "Asia/Tokyo"
    assert then.output["time_difference"] == "-9.0h"
    assert not wrong.ok
    assert "Moon/Crater" in (wrong.error or "")


async def test_the_fetch_server_reads_a_page() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html><body><article><h1>Loom</h1><p>Threads meet here.</p></article></body></html>"
            self.send_response(404 if self.path == "/robots.txt" else 200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Silent."""

    with HTTPServer(("127.0.0.1", 0), Page) as site:
        Thread(target=site.serve_forever, daemon=True).start()
        async with MCPRegistry([python_server("fetch", "--allow-private-ips")]) as registry:
            page = await registry.call("fetch", {"url": f"http://127.0.0.1:{site.server_port}/"})
            nowhere = await registry.call("fetch", {"url": "http://127.0.0.1:9/"})
        site.shutdown()

    assert page.ok, page.error
    assert "Threads meet here." in str(page.output)
    assert not nowhere.ok


async def test_a_server_of_the_old_era_offers_text_numbers_pictures_and_structure(everything: MCPRegistry) -> None:
    echo = await everything.call("echo", {"message": "hello"})
    total = await everything.call("get-sum", {"a": 2, "b": 40})
    weather = await everything.call("get-structured-content", {"location": "New York"})
    image = await everything.call("get-tiny-image", {})
    wrong = await everything.call("get-sum", {"a": "two"})

    assert echo.output == "Echo: hello"
    assert "42" in total.output
    assert sorted(weather.output) == ["conditions", "humidity", "temperature"]
    assert "[image image/png]" in image.output
    assert not wrong.ok


async def test_resources_and_prompts_of_a_published_server_are_read(everything: MCPRegistry) -> None:
    client = await everything.client("everything")

    resources = await client.list_resources()
    templates = await client.list_resource_templates()
    text = await client.read_resource("demo://resource/dynamic/text/1")
    prompts = {prompt.name for prompt in await client.list_prompts()}
    prompt = await client.get_prompt("args-prompt", {"city": "Tokyo"})

    assert len(resources) > 3
    assert len(templates) == 2
    assert "Resource 1" in text.contents[0].text
    assert {"simple-prompt", "args-prompt"} <= prompts
    assert "Tokyo" in prompt.messages[0].content.text


async def test_many_calls_share_one_server_and_a_long_one_does_not_hold_the_others(everything: MCPRegistry) -> None:
    answers: list[str] = []

    async def ask(number: int) -> None:
        answers.append((await everything.call("echo", {"message": str(number)})).output)

    async def wait() -> None:
        await everything.call("trigger-long-running-operation", {"duration": 600, "steps": 2})
        answers.append("long")

    async with anyio.create_task_group() as waiting:
        waiting.start_soon(wait)
        async with anyio.create_task_group() as asking:
            for number in range(50):
                asking.start_soon(ask, number)
        waiting.cancel_scope.cancel()

    assert sorted(answers) == sorted(f"Echo: {number}" for number in range(50))


@pytest.fixture
def everything_over_http(node_bin: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [str(node_bin / "mcp-server-everything"), "streamableHttp"],
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        while f"{port}" not in process.stderr.readline():
            assert process.poll() is None, "the server ended"
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.communicate()


async def test_a_server_with_sessions_is_used_over_streamable_http(everything_over_http: str) -> None:
    async with MCPRegistry([MCPServerSpec.http("everything", everything_over_http)]) as registry:
        echo = await registry.call("echo", {"message": "over http"})
        work = await registry.call("trigger-long-running-operation", {"duration": 1, "steps": 4})

    assert echo.output == "Echo: over http"
    assert work.ok, work.error


async def test_the_filesystem_server_works_inside_its_folder_only(node_bin: Path, tmp_path: Path) -> None:
    desk, outside = (tmp_path / "desk").resolve(), (tmp_path / "outside.txt").resolve()
    desk.mkdir()
    outside.write_text("secret")

    async with MCPRegistry(
        [MCPServerSpec.stdio("files", str(node_bin / "mcp-server-filesystem"), [str(desk)])]
    ) as files:
        tools = {tool.name: tool for tool in await files.list_tools()}
        written = await files.call("write_file", {"path": str(desk / "a.txt"), "content": "one\ntwo"})
        read = await files.call("read_text_file", {"path": str(desk / "a.txt"), "head": 1})
        refused = await files.call("read_text_file", {"path": str(outside)})

    assert (tools["read_text_file"].effect, tools["write_file"].effect) == ("read", "idempotent")
    assert (tools["read_text_file"].destructive, tools["write_file"].destructive) == (False, True)
    assert written.ok, written.error
    assert (desk / "a.txt").read_text() == "one\ntwo"
    assert "one" in str(read.output)
    assert "two" not in str(read.output)
    assert not refused.ok
    assert "secret" not in str(refused)


async def test_the_memory_server_remembers_across_restarts(node_bin: Path, tmp_path: Path) -> None:
    spec = MCPServerSpec.stdio(
        "memory", str(node_bin / "mcp-server-memory"), env={"MEMORY_FILE_PATH": str(tmp_path / "graph.json")}
    )
    ann = {"name": "Ann", "entityType": "person", "observations": ["owns the tenant"]}

    async with MCPRegistry([spec]) as registry:
        assert (await registry.call("create_entities", {"entities": [ann]})).ok
    async with MCPRegistry([spec]) as registry:
        found = await registry.call("search_nodes", {"query": "tenant"})

    assert found.output["entities"] == [ann]


async def test_an_agent_uses_several_servers_in_one_run(node_bin: Path, tmp_path: Path) -> None:
    desk = tmp_path.resolve()
    specs = [
        MCPServerSpec.stdio("files", str(node_bin / "mcp-server-filesystem"), [str(desk)]),
        MCPServerSpec.stdio("everything", str(node_bin / "mcp-server-everything")),
        MCPServerSpec.stdio("broken", str(desk / "not-there")),
    ]
    model = ScriptedModel(
        [
            ScriptedTurn(tool_calls=[ToolCall(id="c1", tool="get-sum", args={"a": 20, "b": 22})]),
            ScriptedTurn(
                tool_calls=[
                    ToolCall(id="c2", tool="write_file", args={"path": str(desk / "sum.txt"), "content": "42"}),
                    ToolCall(id="c3", tool="everything.echo", args={"message": "written"}),
                ]
            ),
            ScriptedTurn(text="The sum is in sum.txt."),
        ]
    )

    async with MCPRegistry(specs) as registry:
        result = await Agent("You keep books.", model=model, tools=registry).run("Add 20 and 22.")

    assert result.output == "The sum is in sum.txt."
    assert (desk / "sum.txt").read_text() == "42"
    assert list(registry.problems) == ["broken"]
