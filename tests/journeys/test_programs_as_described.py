"""The programs that Loom's description shows, as it shows them: names, arguments and the order of things.

Their models are asked over HTTP, of a server on loopback that plays a script.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel

from tests.contract.durable import new_schema
from tests.contract.extras import chroma
from tests.fake_openai import FakeOpenAI, Says

Play = Any
HANDBOOK = Path(__file__).parents[2] / "examples" / "documents" / "handbook.pdf"
KEEPER = "You keep a knowledge base"  # how the one begins that reads facts out of conversations


@pytest.fixture(scope="module")
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def play(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Answer the questions of agents with these lines, one by one, and those about facts with the facts."""
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)

    def begin(*lines: str | Says, facts: str = "[]") -> list[dict[str, Any]]:
        left, asked = list(lines), []

        def answer(body: dict[str, Any]) -> Says:
            if body["messages"][0]["content"].startswith(KEEPER):
                return Says(facts)
            asked.append(body)
            line = left.pop(0)
            return Says(line) if isinstance(line, str) else line

        server.play(answer)
        return asked

    return begin


def call(name: str, **args: Any) -> Says:
    return Says(calls=(("call_1", name, args),))


async def test_a_free_answer_then_a_typed_one(play: Play) -> None:
    from loom import Agent

    class WeatherReport(BaseModel):
        city: str
        temp_c: float
        conditions: str

    asked = play("Hi Alice!", '{"city": "Tokyo", "temp_c": 22, "conditions": "sunny, light wind"}')
    agent = Agent("Be precise.", model="gpt-4.1-mini")

    r = await agent.run("Hi, my name is Alice.", user_id="alice")
    assert r.output == "Hi Alice!"

    r = await agent.run(
        "Weather in Tokyo right now: sunny, 22°C, light wind. Extract.",
        user_id="alice",
        session_id="conv_42",
        output_schema=WeatherReport,
    )
    report: WeatherReport = r.parsed
    assert f"{report.city}: {report.temp_c}°C — {report.conditions}" == "Tokyo: 22.0°C — sunny, light wind"
    assert asked[0]["model"] == "gpt-4.1-mini"


async def test_the_quickstart_and_its_events(play: Play) -> None:
    from loom import Agent, tool

    @tool
    async def get_weather(city: str) -> str:
        """Look up the current weather."""
        return f"It's sunny and 72°F in {city}."

    agent = Agent("You are a travel assistant.", model="gpt-4o", tools=[get_weather])

    play(call("get_weather", city="Tokyo"), "Sunny, 72°F.")
    result = await agent.run("What's the weather like in Tokyo?")
    assert result.output == "Sunny, 72°F."
    assert f"Used {result.tokens_in + result.tokens_out} tokens, ${result.cost_usd:.4f}" == "Used 34 tokens, $0.0002"

    agent = Agent("You are a travel assistant.", model="gpt-4o", tools=[get_weather])
    play(call("get_weather", city="Tokyo"), "Day 1 …")
    kinds = [str(event.kind) async for event in agent.stream("plan a 3-day Tokyo trip")]
    told = [kind for place, kind in enumerate(kinds) if kind != kinds[place - 1]]
    assert told == ["started", "model_chunk", "tool_call", "tool_result", "model_chunk", "memory_write", "completed"]


@pytest.mark.parametrize(
    ("name", "lines"),
    {
        "self-refine": ["Draft.", "no issues"],
        "reflexion": ["Answer.", "score: 0.9"],
        "plan-and-execute": ['["look"]', "Seen.", "Answer."],
        "rewoo": ["[]", "Answer."],
        "tree-of-thoughts": ["A", "B", "C", "score: 1", "score: 1", "score: 1"],
    }.items(),
)
async def test_one_argument_switches_the_strategy(play: Play, name: str, lines: list[str]) -> None:
    from loom import Agent

    asked = play(*lines)
    result = await Agent("...", model="gpt-4o", architecture=name).run("Go.")

    assert result.output
    assert len(asked) == len(lines)


async def test_the_six_teams(play: Play) -> None:
    from loom import Agent
    from loom.architecture import RouterRoute
    from loom.team import Team

    researcher, writer, reviewer, billing, tech, triage = (Agent("...", model="gpt-4o") for _ in range(6))
    optimist, skeptic, analyst, cio, h_agent, e_agent, c_agent, coord_agent, decider_agent = (
        Agent("...", model="gpt-4o") for _ in range(9)
    )

    team = Team.supervisor(
        workers={"researcher": researcher, "writer": writer, "reviewer": reviewer},
        instructions="manage the pipeline",
        model="gpt-4o",
    )
    play(
        call("delegate", worker="writer", instructions="Write."),
        "Text.",
        call("forward_message", worker="writer"),
        "Done.",
    )
    assert (await team.run("Go.")).output == "Text."

    team = Team.router(
        routes=[
            RouterRoute(name="billing", agent=billing, description="..."),
            RouterRoute(name="tech", agent=tech, description="..."),
        ],
        instructions="customer support entry point",
        model="gpt-4o-mini",
    )
    asked = play("route: billing\nconfidence: 0.9", "Paid.")
    assert (await team.run("Go.")).output == "Paid."
    assert [body["model"] for body in asked] == ["gpt-4o-mini", "gpt-4o"]

    team = Team.swarm(
        agents={"triage": triage, "billing": billing, "tech": tech},
        entry_agent="triage",
        model="gpt-4o",
    )
    play(call("handoff", target="tech", message="It is broken."), "", "Fixed.")
    assert (await team.run("Go.")).output == "Fixed."

    team = Team.actor_critic(
        actor=Agent("...", model="gpt-4o"),
        critic=Agent("...", model="gpt-4.1-mini"),
        max_rounds=3,
        approval_threshold=0.9,
        model="gpt-4o",
    )
    asked = play("Draft.", '{"score": 0.5, "issues": ["dull"]}', "Better.", '{"score": 1, "issues": []}')
    assert (await team.run("Go.")).output == "Better."
    assert [body["model"] for body in asked] == ["gpt-4o", "gpt-4.1-mini"] * 2

    team = Team.debate(
        debaters=[optimist, skeptic, analyst],
        judge=cio,
        rounds=2,
        convergence_similarity=0.85,
        model="gpt-4o",
    )
    play("Yes.", "Yes.", "Yes.", "Yes, then.")
    assert (await team.run("Go.")).output == "Yes, then."

    team = Team.blackboard(
        agents={"hypothesis": h_agent, "evidence": e_agent, "critic": c_agent},
        coordinator=coord_agent,
        decider=decider_agent,
        model="gpt-4o",
    )
    play('{"next_agent": "evidence", "instruction": "Look."}', "It leaks.", '{"terminate": true}', "The pipe.")
    assert (await team.run("Go.")).output == "The pipe."


async def test_a_team_is_the_agent_that_its_architecture_makes(play: Play) -> None:
    from loom import Agent
    from loom.architecture import Reflexion, Supervisor
    from loom.team import Team, run_architecture

    agent_a = Agent("...", model="gpt-4o")
    lines = (call("delegate", worker="a", instructions="Do it."), "Done.", "All done.")

    outputs = []
    for team in (
        Team.supervisor(workers={"a": agent_a}, model="gpt-4o"),
        Agent("", model="gpt-4o", architecture=Supervisor(workers={"a": agent_a})),
    ):
        play(*lines)
        outputs.append((await team.run("do the thing")).output)
    play(*lines)
    outputs.append((await run_architecture(Supervisor(workers={"a": agent_a}), "do the thing", model="gpt-4o")).output)
    assert outputs == ["All done."] * 3

    agent = Agent(
        "...",
        model="gpt-4o",
        architecture=Reflexion(base=Supervisor(workers={"a": agent_a}), max_attempts=3, threshold=0.85),
    )
    play(*lines, "score: 0.5", "Ask twice.", *lines, "score: 0.9")
    assert (await agent.run("do the thing")).output == "All done."


async def test_a_team_that_learns_recalls_the_lessons_that_fit(play: Play) -> None:
    from loom import Agent, HashEmbedder
    from loom.architecture import Reflexion, Supervisor
    from loom.vectorstore import InMemoryVectorStore

    researcher, writer, reviewer = (Agent("...", model="gpt-4o") for _ in range(3))
    agent = Agent(
        "...",
        model="gpt-4o",
        architecture=Reflexion(
            base=Supervisor(workers={"researcher": researcher, "writer": writer}),
            max_attempts=3,
            threshold=0.85,
            lesson_store=InMemoryVectorStore(embedder=HashEmbedder()),  # selective recall
        ),
    )
    lesson = "Reports about bridges need their length in meters."
    asked = play("It is long.", "score: 0.5", lesson, "It is 1280 meters long.", "score: 0.9")
    result = await agent.run("Write a report about bridges.", user_id="alice")
    assert result.output == "It is 1280 meters long."
    assert lesson not in str(asked[0]["messages"])
    assert lesson in str(asked[3]["messages"])

    asked = play("Done.", "score: 1", "Done.", "score: 1")
    await agent.run("Write a report about more bridges.", user_id="alice")
    await agent.run("Write a report about more bridges.", user_id="bob")
    assert lesson in str(asked[0]["messages"])
    assert lesson not in str(asked[2]["messages"])

    agent = Agent(
        "...",
        model="gpt-4o",
        architecture=Reflexion(
            base=Supervisor(workers={"researcher": researcher, "writer": writer, "reviewer": reviewer}),
            lesson_store=InMemoryVectorStore(embedder=HashEmbedder()),  # selective recall
        ),
    )
    asked = play(
        call("delegate", worker="reviewer", instructions="Review it."), "Fine.", "Reviewed.", "score: 0.5", lesson,
        call("delegate", worker="writer", instructions="Write it."), "Text.", "Written.", "score: 0.9",
    )  # fmt: skip
    assert (await agent.run("Write a report about bridges.")).output == "Written."
    assert lesson in str(asked[5]["messages"])


async def test_the_shapes_of_a_workflow(play: Play) -> None:
    from loom import END, START, Agent, Workflow

    async def a(x: str) -> str:
        return f"{x}a"

    async def b(x: str) -> str:
        return f"{x}b"

    async def c(x: str) -> str:
        return f"{x}c"

    assert (await Workflow.chain([a, b, c]).run("")).output == await c(await b(await a("")))
    assert (await Workflow.route(lambda x: x[0], {"a": a, "b": b}, default=c).run("b!")).output == "b!b"
    assert (await Workflow.parallel([a, b], merge=" ".join).run("x")).output == "xa xb"

    billing_agent, tech_agent = Agent("Bills.", model="gpt-4o"), Agent("Tech.", model="gpt-4o")
    wf = Workflow("triage")
    wf.add_node("billing", billing_agent)
    wf.add_node("tech", tech_agent)
    wf.add_router(
        START,
        fn=lambda q: "billing" if "invoice" in q else "tech",
        routes={"billing": "billing", "tech": "tech"},
    )
    wf.add_edge("billing", END)
    wf.add_edge("tech", END)

    play("It is in your inbox.")
    result = await wf.run("I can't see my invoice", user_id="alice")
    assert (result.output, result.visited) == ("It is in your inbox.", ["billing"])
    assert wf._repr_mermaid_().startswith("flowchart TD")


async def test_what_one_agent_of_a_workflow_learns_the_next_one_knows(play: Play) -> None:
    from loom import Agent, InMemoryMemory, Workflow

    mem = InMemoryMemory()
    first, second = Agent("First.", model="gpt-4o"), Agent("Second.", model="gpt-4o")
    asked = play("The code is 4711.", "Noted.")

    await (
        Workflow(memory=mem)
        .add_node("a", first)
        .add_node("b", second)
        .add_edge("a", "b")
        .set_start("a")
        .run("What is the code?", user_id="alice")
    )

    assert "4711" in str(asked[1]["messages"])
    assert (await mem.profile(user_id="alice")).episode_count == 2


async def test_skills_from_several_places(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loom import Agent
    from loom.skills import Skill

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for place, text in {
        ".jeeves/skills/system": "base",
        ".jeeves/skills/user": "mine",
        ".jeeves-skills": "ours",
    }.items():
        folder = tmp_path / place / "report"
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text(f"---\nname: report\ndescription: Reports.\n---\n{text}\n")

    agent = Agent(
        "...",
        model="gpt-4o",
        skills=[
            "~/.jeeves/skills/system/",
            "~/.jeeves/skills/user/",
            ("./.jeeves-skills/", "Project"),
        ],
    )
    assert agent.skills is not None
    assert agent.skills.load("report").strip().endswith("ours")

    skill = Skill.from_text("""
---
name: standup
description: Format a daily standup from rough notes.
---
# Standup
Always 3 sections: Yesterday, Today, Blockers.
""")
    asked = play("Hm.")
    await Agent("...", model="gpt-4o", skills=[skill]).run("Go.")
    assert "Format a daily standup from rough notes." in asked[0]["messages"][0]["content"]


async def test_retry_policies() -> None:
    from loom import Agent
    from loom.governance import RetryPolicy

    for policy in (
        RetryPolicy(),
        RetryPolicy.aggressive(),
        RetryPolicy.disabled(),
        RetryPolicy(max_attempts=4, initial_delay_s=0.5, max_delay_s=15.0),
    ):
        assert Agent("...", model="echo", retry_policy=policy)


async def test_an_answer_that_does_not_fit_is_sent_back(play: Play) -> None:
    from loom import Agent, OutputValidationError

    class CompanyInfo(BaseModel):
        name: str
        founded_year: int
        headquarters: str

    agent = Agent("extract company info", model="gpt-4.1-mini")
    right = '{"name": "Acme", "founded_year": 2008, "headquarters": "Oslo"}'
    play(right.replace("2008", '"long ago"'), f"```json\n{right}\n```")
    result = await agent.run("Tell me about Acme.", output_schema=CompanyInfo)
    info: CompanyInfo = result.parsed
    assert (info.founded_year, result.output) == (2008, right)

    play("It is old.")
    with pytest.raises(OutputValidationError) as caught:
        await agent.run("Tell me about Acme.", output_schema=CompanyInfo, output_validation_retries=0)
    assert caught.value.raw == "It is old."
    assert caught.value.schema is CompanyInfo
    assert caught.value.cause is not None


async def test_what_is_known_about_somebody_is_shown_exported_and_forgotten(play: Play) -> None:
    from loom import Agent

    play("Hello.", facts='[{"subject": "alice", "predicate": "prefers", "object": "Python", "confidence": 1}]')
    agent = Agent("...", model="gpt-4.1-mini", memory={"backend": "inmemory", "embedder": "hash"})
    await agent.run("Hi, I'm Alice and my favourite programming language is Python.", user_id="alice")

    profile = await agent.memory.profile(user_id="alice")
    assert profile.fact_count > 0
    assert [(f.user_id, f.predicate, f.object) for f in profile.sample_facts] == [("alice", "prefers", "Python")]

    asked = play("Your favourite is Python.")
    await agent.run("What's my favourite programming language?", user_id="alice")
    assert "alice prefers Python" in str(asked[0]["messages"])

    export = await agent.memory.export(user_id="alice")
    assert "Python" in export.model_dump_json()
    await agent.memory.forget(user_id="alice", session_id="conv_42")
    await agent.memory.forget(user_id="alice", before=datetime(2026, 1, 1))
    assert await agent.memory.forget(user_id="alice") > 0
    assert (await agent.memory.profile(user_id="alice")).episode_count == 0


async def test_a_bot_with_a_file_for_its_memory_just_remembers(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loom import Agent

    monkeypatch.chdir(tmp_path)
    play("Hello.", facts='[{"subject": "alice", "predicate": "prefers", "object": "Python", "confidence": 1}]')
    agent = Agent("...", model="gpt-4.1-mini", memory="sqlite:./bot.db")

    # One run; the framework auto-extracts facts in the background.
    await agent.run(
        "Hi, I'm Alice and my favourite programming language is Python.",
        user_id="alice",
    )

    # Facts are already there — no manual Consolidator call needed.
    profile = await agent.memory.profile(user_id="alice")
    assert profile.fact_count > 0
    assert [(f.user_id, f.predicate, f.object) for f in profile.sample_facts] == [("alice", "prefers", "Python")]

    # Days later, a different conversation: another program, the same file.
    asked = play("Your favourite is Python.", "I do not know.", "Python, as you said.")
    later = Agent("...", model="gpt-4.1-mini", memory="sqlite:./bot.db")
    result = await later.run(
        "What's my favourite programming language?",
        user_id="alice",
    )
    assert result.output == "Your favourite is Python."
    assert "alice prefers Python" in str(asked[0]["messages"])
    await later.run("What's my favourite programming language?", user_id="bob")
    assert "Python" not in str(asked[1]["messages"])

    # A conversation goes on in another program as real messages.
    await agent.run("Again?", user_id="alice", session_id=result.session_id)
    said = [(message["role"], message["content"]) for message in asked[2]["messages"]]
    assert said[-3:] == [
        ("user", "What's my favourite programming language?"),
        ("assistant", "Your favourite is Python."),
        ("user", "Again?"),
    ]


async def test_what_lies_in_a_file_is_shown_exported_and_forgotten(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loom import Agent

    monkeypatch.chdir(tmp_path)
    play("Hello.", "Hello.", "Hello.", facts='[{"subject": "x", "predicate": "works_at", "object": "Acme"}]')
    agent = Agent("...", model="gpt-4.1-mini", memory="sqlite:./bot.db")
    await agent.run("I work at Acme.", user_id="alice", session_id="conv_42")
    await agent.run("I still work at Acme.", user_id="alice")
    await agent.run("I work there too.", user_id="bob")

    profile = await agent.memory.profile(user_id="alice")
    assert (profile.episode_count, profile.fact_count, len(profile.recent_sessions)) == (2, 2, 2)
    export = await agent.memory.export(user_id="alice")
    blob = export.model_dump_json()
    assert "I still work at Acme." in blob
    assert "I work there too." not in blob

    assert await agent.memory.forget(user_id="alice", session_id="conv_42") == 2
    assert await agent.memory.forget(user_id="alice", before=datetime(2026, 1, 1)) == 0
    assert await agent.memory.forget(user_id="alice") == 2
    assert (await agent.memory.profile(user_id="alice")).episode_count == 0
    assert (await agent.memory.profile(user_id="bob")).fact_count == 1


async def test_a_memory_is_picked_by_a_string_or_a_mapping(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loom import Agent, resolve_memory
    from loom.memory import SqliteMemory

    monkeypatch.chdir(tmp_path)
    for memory in (
        None,
        "inmemory",
        "sqlite:./bot.db",
        {"backend": "sqlite", "path": "./bot.db", "embedder": "openai", "with_facts": True},
        SqliteMemory("./bot.db"),
        resolve_memory("sqlite:./bot.db"),
    ):
        agent = Agent("...", model="gpt-4.1-mini", memory=memory)
        play("Hello.")
        await agent.run("Hi.", user_id="alice")
        assert (await agent.memory.profile(user_id="alice")).last_seen is not None
    assert (await agent.memory.profile(user_id="alice")).episode_count == 4


@chroma
async def test_a_memory_is_picked_by_the_address_of_a_server_too(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loom import Agent
    from loom.memory import ChromaMemory, OpenAIEmbedder

    monkeypatch.chdir(tmp_path)
    for memory in (
        "chroma",
        "chroma:./vectors",
        new_database(),
        f"{os.environ['REDIS_URL'].rpartition('/')[0]}/9",
        {
            "backend": "chroma",
            "path": "./vectors",
            "namespace": "tenant_a",
            "embedder": "openai",
            "with_facts": True,
        },
        ChromaMemory.local("./vectors", with_facts=True, embedder=OpenAIEmbedder(), collection_name="mine"),
    ):
        agent = Agent("...", model="gpt-4.1-mini", memory=memory)
        play("Hello.", facts='[{"subject": "alice", "predicate": "likes", "object": "tea"}]')
        await agent.run("Hi.", user_id="alice", session_id="conv_42")
        await agent.consolidate()

        profile = await agent.memory.profile(user_id="alice")
        assert (profile.episode_count, profile.fact_count, profile.recent_sessions) == (1, 1, ["conv_42"])
        assert (await agent.memory.profile(user_id="bob")).episode_count == 0
        export = await agent.memory.export(user_id="alice")
        assert '"object":"tea"' in export.model_dump_json()
        assert await agent.memory.forget(user_id="alice", before=datetime(2026, 1, 1)) == 0
        assert await agent.memory.forget(user_id="alice") == 2
        assert (await agent.memory.profile(user_id="alice")).episode_count == 0
        if close := getattr(agent.memory, "aclose", None):
            await close()


def new_database() -> str:
    """The address of an empty place in PostgreSQL, as people write it."""
    owner, _, _ = os.environ["DATABASE_OWNER_URL"].partition("?")
    options = conninfo_to_dict(new_schema())["options"]
    return f"postgres{owner.removeprefix('postgresql')}?options={quote(options)}"


async def test_every_primitive_keeps_users_apart(play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from loom import Agent, BudgetConfig, Mode, StandardBudget, StandardPermissions
    from loom.security import FileAuditLog, PerUserPermissions

    monkeypatch.chdir(tmp_path)
    permissions = PerUserPermissions(
        policies={
            "admin_alice": StandardPermissions(mode=Mode.BYPASS),
            "paid_user_42": StandardPermissions(mode=Mode.ACCEPT_EDITS),
        },
        default=StandardPermissions(mode=Mode.DEFAULT, denied_tools=["bash", "delete_account"]),
    )
    budget = StandardBudget(
        BudgetConfig(
            max_tokens=1_000_000,
            per_user_max_tokens=10_000,
            per_user_max_cost_usd=1.0,
        )
    )
    agent = Agent(
        "...",
        model="gpt-4.1-mini",
        memory={"backend": "inmemory", "embedder": "hash"},
        permissions=permissions,
        budget=budget,
        audit_log=FileAuditLog("./audit.jsonl", secret="prod-secret"),
    )
    play("Hello.", "Hello.")
    await agent.run("Hi.", user_id="alice")
    await agent.run("Hi.", user_id="bob")

    alice_entries = await agent._audit_log.query(user_id="alice")
    assert {entry.user_id for entry in alice_entries} == {"alice"}
    assert {"tokens_in", "tokens_out", "cost_usd"} <= set(budget.usage_for("alice"))
    assert budget.usage_for("alice")["tokens_in"] > 0


async def test_a_tool_knows_for_whom_it_runs(play: Play) -> None:
    from loom import Agent, get_run_context, tool

    seen: list[Any] = []

    @tool
    async def fetch_user_orders() -> str:
        """Look up the current user's recent orders."""
        ctx = get_run_context()
        seen.append((ctx.user_id, ctx.session_id, ctx.get("locale")))
        return "none"

    asked = play(call("fetch_user_orders"), "None.")
    await Agent("...", model="gpt-4o", tools=[fetch_user_orders]).run(
        "what is my favourite food?",
        user_id="alice",
        session_id="conv_42",
        metadata={"locale": "en"},
    )

    assert seen == [("alice", "conv_42", "en")]
    assert asked[0]["tools"][0]["function"]["parameters"].get("properties", {}) == {}


async def test_a_forgotten_user_can_be_an_error() -> None:
    from loom import Agent, IsolationWarning

    agent = Agent("...", model="echo")
    await agent.run("Hi.", user_id="alice")
    with warnings.catch_warnings():
        warnings.simplefilter("error", IsolationWarning)
        with pytest.raises(IsolationWarning):
            await agent.memory.recall("Hi.")


async def test_a_question_is_answered_from_a_pdf(play: Play) -> None:
    from loom import Agent, HashEmbedder, tool
    from loom.loader import MarkdownChunker, RecursiveChunker, SentenceChunker, TokenChunker, load, load_pdf
    from loom.vectorstore import InMemoryVectorStore, SearchResult

    document = load_pdf(HANDBOOK, backend="pypdfium2", strategy="fast")
    assert document == load(HANDBOOK)
    for chunker in (MarkdownChunker(), RecursiveChunker(), SentenceChunker(), TokenChunker()):
        assert "approved by two people" in "".join(chunk.content for chunk in chunker.split(document.content))

    chunks = MarkdownChunker().split(document.content, source="handbook.pdf")
    store = await InMemoryVectorStore.from_chunks(chunks, embedder=HashEmbedder())

    @tool
    async def search(query: str) -> str:
        """Search the handbook."""
        results: list[SearchResult] = await store.search(query, k=1, filter={"source": "handbook.pdf"}, diversity=0.3)
        return "\n".join(result.chunk.content for result in results)

    asked = play(call("search", query="expenses above 500 euros"), "Two people.")
    result = await Agent("Answer from the handbook.", model="gpt-4.1-mini", tools=[search]).run(
        "Who approves expenses?"
    )

    assert result.output == "Two people."
    assert "approved by two people" in asked[1]["messages"][-1]["content"]


def test_every_vector_store_is_imported_by_its_name() -> None:
    from loom.vectorstore import ChromaVectorStore, FAISSVectorStore, InMemoryVectorStore, PostgresVectorStore

    stores = (InMemoryVectorStore, ChromaVectorStore, PostgresVectorStore, FAISSVectorStore)
    assert [store.name for store in stores] == ["in-memory", "chroma", "postgres", "faiss"]
