from __future__ import annotations

import asyncio
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import pytest

from agents.core.concurrency import together
from agents.core.tools.base import ToolHost
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import Tool, tool
from loom.errors import ConfigError, ToolError


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(destructive=True)
def wipe(name: str) -> str:
    """Delete a user."""
    return f"wiped {name}"


def test_the_host_is_a_tool_host() -> None:
    assert isinstance(InProcessToolHost(), ToolHost)


async def test_tools_are_listed_with_what_a_gate_must_know() -> None:
    host = InProcessToolHost([add, wipe])

    listed = {d.name: d for d in await host.list_tools()}

    assert listed["wipe"].destructive
    assert listed["wipe"].effect == "irreversible"
    assert not listed["add"].destructive


@pytest.mark.parametrize(
    ("query", "names"), [("NUMBERS", ["add"]), ("wi", ["wipe"]), ("", ["add", "wipe"]), ("zz", [])]
)
async def test_a_query_finds_names_and_descriptions(query: str, names: list[str]) -> None:
    assert [d.name for d in await InProcessToolHost([add, wipe]).list_tools(query=query)] == names


async def test_tools_come_and_go() -> None:
    def late(x: int) -> int:
        return x

    host = InProcessToolHost()

    made = host.register(late)
    assert isinstance(made, Tool)
    assert host.get("late") is made
    assert host.unregister("late")
    assert not host.unregister("late")
    assert host.get("late") is None


def test_two_tools_of_one_name_are_refused_at_the_start() -> None:
    other = tool(lambda: None, name="add")

    with pytest.raises(ConfigError, match="two tools are named 'add'"):
        InProcessToolHost([add, other])
    assert InProcessToolHost([add, add]).get("add") is add


async def test_a_call_answers_with_the_output_and_how_long_it_took() -> None:
    result = await InProcessToolHost([add]).call("add", {"a": "1", "b": 2}, call_id="c1")

    assert (result.call_id, result.ok, result.output, result.error) == ("c1", True, 3, None)
    assert result.duration_ms is not None
    assert result.duration_ms >= 0


async def test_an_unknown_tool_is_an_error_result_with_a_suggestion() -> None:
    host = InProcessToolHost([add])

    near, far = await host.call("ad", {}, call_id="c"), await host.call("zzz", {})

    assert (near.ok, near.call_id, near.error) == (False, "c", "unknown tool: ad; did you mean 'add'?")
    assert far.error == "unknown tool: zzz"


async def test_wrong_arguments_are_an_error_result_that_names_them() -> None:
    result = await InProcessToolHost([add]).call("add", {"a": "x", "c": 1})

    assert not result.ok
    assert "/a: Input should be a valid integer" in (result.error or "")
    assert "/b: is required" in (result.error or "")
    assert "/c: no such argument" in (result.error or "")


def boom(exc: BaseException) -> Tool:
    def fail() -> None:
        raise exc

    return tool(fail)


@pytest.mark.parametrize(
    ("exc", "said"),
    [
        (ToolError("the printer is out of paper"), "the printer is out of paper"),
        (ValueError("bad"), "bad"),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError"),
        (ExceptionGroup("unhandled errors in a TaskGroup", [ValueError("inner")]), "inner"),
        (SystemExit(3), "3"),
    ],
)
async def test_an_exception_is_an_error_result_in_plain_words(exc: BaseException, said: str) -> None:
    result = await InProcessToolHost([boom(exc)]).call("fail", {})

    assert (result.ok, result.error) == (False, said)
    assert result.duration_ms is not None


async def test_the_traceback_goes_to_the_log_and_not_to_the_model(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "agents.core.tools.host")

    result = await InProcessToolHost([boom(ValueError("bad"))]).call("fail", {})

    assert "Traceback" not in (result.error or "")
    assert "in fail" in caplog.text


async def test_a_signal_that_is_no_exception_passes() -> None:
    class Stop(BaseException):
        pass

    async def ask() -> None:
        raise Stop

    with pytest.raises(Stop):
        await InProcessToolHost([ask]).call("ask", {})


async def test_a_cancelled_call_is_cancelled() -> None:
    async def sleep() -> None:
        await anyio.sleep(30)

    with anyio.move_on_after(0.01) as scope:
        await InProcessToolHost([sleep]).call("sleep", {})
    assert scope.cancelled_caught


async def test_what_a_tool_cancels_itself_is_an_error_result() -> None:
    async def lose() -> None:
        inner = asyncio.create_task(asyncio.sleep(30))
        inner.cancel()
        await inner

    host = InProcessToolHost([lose])

    assert (await host.call("lose", {})).error == "CancelledError"
    both = await together([partial(host.call, "lose", {}, call_id=call_id) for call_id in "ab"])
    assert [result.call_id for result in both] == ["a", "b"]


def test_what_a_tool_cancels_itself_is_an_error_result_under_trio_too() -> None:
    def lose() -> None:
        async def cancelled() -> None:
            raise asyncio.CancelledError

        asyncio.run(cancelled())

    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(anyio.run, InProcessToolHost([lose]).call, "lose", {}, backend="trio").result()

    assert result.error == "CancelledError"


async def test_a_timeout_is_an_error_result_that_says_so() -> None:
    @tool(timeout=0.01)
    async def slow() -> None:
        await anyio.sleep(30)

    result = await InProcessToolHost([slow]).call("slow", {})

    assert result.error == "tool 'slow' did not finish within 0.01 s"


async def test_watchers_hear_of_tools_that_come_change_and_go() -> None:
    host, heard = InProcessToolHost(), []
    watch = host.watch()

    async def listen() -> None:
        async for event in watch:
            heard.append((event.kind, event.tool))
            if len(heard) == 3:
                return

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            host.register(add)
            await anyio.sleep(0)
            host.register(add)
            host.unregister("add")
            host.unregister("add")

    assert heard == [("added", "add"), ("updated", "add"), ("removed", "add")]


def test_a_dropped_watcher_is_forgotten() -> None:
    host = InProcessToolHost()
    watch: Any = host.watch()
    weight = sys.getrefcount(watch)

    del watch
    host.register(add)

    assert weight == 2
    assert not host._watches
