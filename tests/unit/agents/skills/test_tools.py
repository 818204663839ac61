from __future__ import annotations

from pathlib import Path

import pytest

from agents.core.skills.registry import SkillRegistry
from agents.core.skills.requests import is_requested, requested_tools
from agents.core.skills.skill import Skill
from agents.core.skills.tools import loaded_skills, make_load_skill_tool, make_read_skill_file_tool, restore_skills
from agents.core.tools.host import InProcessToolHost
from loom.context import RunContext, set_run_context
from loom.messages import Message, Role, ToolCall

SHOP = '''
from agents.core.tools.tool import tool

BUILT = []

def build_tools(ctx):
    BUILT.append(ctx.user_id)

    @tool
    def orders() -> str:
        """Orders."""
        return f"orders of {ctx.user_id}"

    @tool(destructive=True)
    def cancel(number: int) -> str:
        """Cancel an order."""
        return f"{ctx.user_id} cancelled {number + 1}"

    return [orders, cancel] if ctx.user_id != "cem" else [orders]
'''


@pytest.fixture
def shop(tmp_path: Path) -> SkillRegistry:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: shop\ndescription: The shop.\n---\nAsk for orders.\n")
    (folder / "tools.py").write_text(SHOP)
    (folder / "prices.md").write_text("milk 1\n" + "x" * 60_000)
    return SkillRegistry([folder])


def user(name: str, run: str = "r1") -> set_run_context:
    return set_run_context(RunContext(user_id=name, run_id=run))


async def test_loading_shows_the_body_and_adds_the_tools(shop: SkillRegistry) -> None:
    host = InProcessToolHost()
    load = make_load_skill_tool(shop, host=host)

    async with user("ann"):
        text = await load.execute({"name": "shop"})

    assert text == (
        "Ask for orders.\n\n_Files, for read_skill_file: prices.md, tools.py_\n\n"
        "_2 tool(s) now available: shop__orders, shop__cancel_"
    )
    tools = {tool.name: tool for tool in await host.list_tools()}
    assert tools["shop__cancel"].destructive
    assert tools["shop__cancel"].input_schema["required"] == ["number"]
    assert (load.name, load.effect) == ("load_skill", "read")


async def test_tools_on_a_shared_host_are_built_for_whoever_calls(shop: SkillRegistry) -> None:
    host = InProcessToolHost()
    load = make_load_skill_tool(shop, host=host)
    async with user("ann"):
        await load.execute({"name": "shop"})

    async with user("ben"):
        orders = await host.call("shop__orders", {})
        cancelled = await host.call("shop__cancel", {"number": "4"})
        wrong = await host.call("shop__cancel", {"number": "four"})
    async with user("cem"):
        missing = await host.call("shop__cancel", {"number": 1})

    assert (orders.output, cancelled.output) == ("orders of ben", "ben cancelled 5")
    assert (wrong.ok, missing.ok) == (False, False)
    assert missing.error == "skill 'shop' has no tool 'shop__cancel' for you"


async def test_build_tools_is_called_once_for_a_run_and_again_for_the_next(shop: SkillRegistry) -> None:
    host = InProcessToolHost()
    load = make_load_skill_tool(shop, host=host)
    skill = shop.get("shop")
    assert skill is not None

    for run in ("r1", "r2"):
        for key in ("k1", "k2"):
            async with set_run_context(RunContext(user_id="ann", run_id=run, idempotency_key=key)):
                await load.execute({"name": "shop"}) if (run, key) == ("r1", "k1") else None
                await host.call("shop__orders", {})

    assert skill._module().BUILT == ["ann", "ann"]


async def test_an_unknown_skill_is_told_to_the_model(shop: SkillRegistry) -> None:
    assert (
        await make_load_skill_tool(shop).execute({"name": "shp"}) == "Error: unknown skill 'shp'; did you mean 'shop'?"
    )


async def test_the_tool_can_have_another_name(shop: SkillRegistry) -> None:
    assert make_load_skill_tool(shop, tool_name="open_skill").name == "open_skill"


async def test_files_are_read_page_by_page_and_never_outside(shop: SkillRegistry, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "shop" / "blob").write_bytes(b"\xff\x00")
    read = make_read_skill_file_tool(shop)

    first = await read.execute({"skill": "shop", "path": "prices.md"})
    rest = await read.execute({"skill": "shop", "path": "prices.md", "offset": 50_000})

    assert first.startswith("milk 1\n")
    assert first.endswith("(10007 more characters; read again with offset=50000)")
    assert rest == "x" * 10_007
    assert "outside" in await read.execute({"skill": "shop", "path": "../secret"})
    assert "not a text" in await read.execute({"skill": "shop", "path": "blob"})
    assert "there are: blob, prices.md" in await read.execute({"skill": "shop", "path": "gone"})
    assert "unknown skill" in await read.execute({"skill": "shp", "path": "x"})


def conversation(*results: tuple[str, str]) -> list[Message]:
    said = []
    for number, (name, answer) in enumerate(results):
        call = ToolCall(id=f"c{number}", tool="load_skill", args={"name": name})
        said.append(Message(role=Role.ASSISTANT, content="", tool_calls=(call,)))
        said.append(Message(role=Role.TOOL, content=answer, tool_call_id=call.id))
    return said


async def test_what_a_conversation_loaded_can_be_restored_after_a_restart(shop: SkillRegistry) -> None:
    names = loaded_skills(conversation(("shp", "Error: unknown"), ("shop", "Ask."), ("gone", "Hm."), ("shop", "Ask.")))
    host = InProcessToolHost()

    restore_skills(shop, names, host)

    assert names == ["shop", "gone"]
    assert [tool.name for tool in await host.list_tools()] == ["shop__orders", "shop__cancel"]


def test_allowed_tools_restrict_while_the_skill_is_loaded_and_never_grant() -> None:
    listing = Skill.from_text("---\nname: tidy\ndescription: d\nallowed-tools: Bash(git:*) Read files.*\n---\n")
    free = Skill.from_text("---\nname: free\ndescription: d\n---\n")
    registry = SkillRegistry([listing, free])

    assert requested_tools(registry, []) is None
    assert requested_tools(registry, ["free"]) is None
    wanted = requested_tools(registry, ["tidy", "free", "gone"])
    allowed = ["bash", "Read", "read", "files.search", "load_skill", "read_skill_file", "tidy__run", "free__run"]
    assert [name for name in [*allowed, "write", "web_search"] if is_requested(wanted, name)] == allowed
    assert is_requested(None, "anything")


def test_an_empty_list_of_allowed_tools_leaves_only_the_skills_own() -> None:
    registry = SkillRegistry([Skill.from_text("---\nname: a\ndescription: d\nallowed_tools: []\n---\n")])

    wanted = requested_tools(registry, ["a"])

    assert (is_requested(wanted, "a__x"), is_requested(wanted, "read")) == (True, False)
