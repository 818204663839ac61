"""The environment: where a value comes from, and what a wrong one says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from loom.errors import ConfigError
from loomsite import env

SECRET = "s" * 40
EMBEDDED = {
    "DATABASE_URL": "postgresql://loom_app:a@127.0.0.1:5433/loom",
    "DATABASE_OWNER_URL": "postgresql://loom_owner:b@127.0.0.1:5433/loom",
    "REDIS_URL": "redis://:c@127.0.0.1:6380/0",
    "LOOM_SECRET_KEY": SECRET,
    "LOOM_MASTER_KEY": SECRET,
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder, and a process environment without a word about Loom."""
    for field in env.Env.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.setattr(env, "ROOT", tmp_path)
    monkeypatch.setenv("LOOM_DATA_DIR", "var")
    env.get_env.cache_clear()
    return tmp_path


def write_services(project: Path, **values: str) -> None:
    (project / "var").mkdir()
    (project / "var" / "services.json").write_text(json.dumps(EMBEDDED | values))


def test_defaults_are_safe_for_a_laptop(project: Path) -> None:
    loaded = env.load_env()

    assert (loaded.debug, loaded.port, loaded.worker_concurrency, loaded.lease_seconds) == (False, 8000, 200, 30)
    assert (loaded.sandbox, loaded.log_level, loaded.data_dir) == ("strict", "INFO", project / "var")
    assert loaded.allowed_hosts == ("localhost", "127.0.0.1", "[::1]")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOOM_PORT", "abc", "LOOM_PORT must be a port from 1 to 65535, not 'abc'"),
        ("LOOM_PORT", "70000", "LOOM_PORT must be a port from 1 to 65535, not '70000'"),
        ("LOOM_DEBUG", "perhaps", "LOOM_DEBUG must be true or false, not 'perhaps'"),
        ("LOOM_SANDBOX", "off", "LOOM_SANDBOX must be strict or degraded, not 'off'"),
        ("LOOM_LOG_LEVEL", "loud", "LOOM_LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not 'LOUD'"),
        ("LOOM_WORKER_CONCURRENCY", "0", "LOOM_WORKER_CONCURRENCY must be a number from 1 to 10000, not '0'"),
    ],
)
def test_a_wrong_value_is_refused_with_one_sentence_that_names_the_variable(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError) as refused:
        env.load_env()

    assert str(refused.value) == f"{sentence}: correct it in the environment or in .env"


@pytest.mark.parametrize(
    "name", ["DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "LOOM_SECRET_KEY", "LOOM_MASTER_KEY"]
)
def test_a_wrong_value_that_may_hold_a_secret_is_not_repeated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "mysql://u:hunter2@h")

    with pytest.raises(ConfigError, match=f"^{name} must be ") as refused:
        env.load_env()

    assert "hunter2" not in str(refused.value)


def test_the_process_environment_wins_over_the_file_and_the_file_over_the_embedded_servers(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_services(project)
    (project / ".env").write_text("LOOM_PORT=9001\nREDIS_URL=redis://file:6379/0\nLOOM_MODEL=echo\n")
    monkeypatch.setenv("LOOM_PORT", "9002")
    for name in ("REDIS_URL", "LOOM_MODEL"):
        monkeypatch.setenv(name, "")  # restored afterwards: reading the file changes the environment
        monkeypatch.delenv(name)

    loaded = env.load_env()

    assert (loaded.port, loaded.redis_url, loaded.model) == (9002, "redis://file:6379/0", "echo")
    assert loaded.database_url == EMBEDDED["DATABASE_URL"]


def test_a_provider_key_in_the_file_reaches_the_model_clients(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".env").write_text("ANTHROPIC_API_KEY=key\nOPENAI_BASE_URL=\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    monkeypatch.delenv("ANTHROPIC_API_KEY")

    env.load_env()

    assert env.os.environ["ANTHROPIC_API_KEY"] == "key"
    assert "OPENAI_BASE_URL" not in env.os.environ


def test_an_empty_value_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_PORT", "")

    assert env.load_env().port == 8000


def test_migrations_never_go_to_the_embedded_database_when_another_one_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_services(project)
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:x@db/prod")

    assert env.load_env().database_owner_url == "postgresql://app:x@db/prod"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nowhere:crash:1", "LOOM_FAULT: 'nowhere:crash:1' names no point; there are after_claim, before_step,"),
        ("before_step:burn:1", "names no action; there are crash, exception, delay=SECONDS, pause"),
        ("before_step:delay:1", "names no action; there are"),
        ("before_step:crash", "does not say which time, as in before_step:crash:1"),
        ("before_step:crash:0", "does not say which time"),
    ],
)
def test_a_fault_that_there_is_not_stops_the_start(value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_FAULT", value)

    with pytest.raises(ConfigError, match=re.escape(said)):
        env.load_env()


def test_faults_are_for_tests_only(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_services(project)
    monkeypatch.setenv("LOOM_FAULT", "before_step:crash:2,after_claim:delay=0.5:1")

    with pytest.raises(SystemExit, match="LOOM_FAULT breaks this process on purpose: unset it, or set LOOM_DEBUG=true"):
        env.get_env()
    monkeypatch.setenv("LOOM_DEBUG", "true")

    assert [(plan.point, plan.action) for plan in env.get_env().fault] == [
        ("before_step", "crash"), ("after_claim", "delay"),
    ]  # fmt: skip


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_MODULES", "shop.agents, shop.tools,")

    assert env.load_env().modules == ("shop.agents", "shop.tools")


def test_without_a_database_the_process_ends_with_the_way_out() -> None:
    with pytest.raises(SystemExit) as ended:
        env.get_env()

    assert str(ended.value) == "loom: no database: run `make run`, or set DATABASE_URL"


def test_what_the_embedded_servers_wrote_down_is_a_complete_environment(project: Path) -> None:
    write_services(project)

    assert env.get_env().secret_key == SECRET


def test_a_damaged_services_file_is_named(project: Path) -> None:
    write_services(project)
    (project / "var" / "services.json").write_text("{")

    with pytest.raises(ConfigError, match=r"services\.json cannot be read"):
        env.load_env()


def test_secrets_do_not_show_when_the_environment_is_printed(project: Path) -> None:
    write_services(project)

    shown = repr(env.load_env())

    assert not any(value in shown for value in EMBEDDED.values())


def test_the_example_file_lists_every_variable() -> None:
    example = (Path(env.__file__).parents[1] / ".env.example").read_text()
    listed = {line.split("=")[0] for line in example.splitlines() if line and not line.startswith("#")}

    assert {str(field.validation_alias) for field in env.Env.model_fields.values()} <= listed


def test_the_example_file_is_itself_a_valid_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = Path(env.__file__).parents[1] / ".env.example"
    for name, value in env.dotenv_values(example).items():
        monkeypatch.setenv(name, value or "")

    assert env.load_env().port == 8000
