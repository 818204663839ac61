"""What every test shares: one event loop flavor, no paid model calls, no inherited provider keys, and, where Django is
tested, servers of its own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

PROVIDER_KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "LOOM_MODEL")
WITHOUT_DJANGO = Path(__file__).parent / "unit"

settings.register_profile("loom", deadline=None)  # how long an example takes is a matter of the machine
settings.load_profile("loom")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a shell ignores Ctrl-C, and so would every program that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_provider_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROVIDER_KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Half characters in what a test has logged are spelled out: xdist sends reports in UTF-8, which has none."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Unless only cores are tested: start PostgreSQL and Valkey in a new folder, and set Django up on them.

    Where several processes test, each has servers of its own, and who hands out the work needs none.
    """
    if config.getoption("numprocesses", None):
        return
    asked = [Path(arg.split("::")[0]).resolve() for arg in config.args]
    if asked and all(path.is_relative_to(WITHOUT_DJANGO) for path in asked):
        return
    from loomsite import embedded

    folder = Path(tempfile.mkdtemp(prefix="loom-tests-"))
    folder.chmod(0o711)  # the servers' user passes through
    (folder / "static").mkdir()
    config.add_cleanup(lambda: shutil.rmtree(folder))
    config.add_cleanup(lambda: embedded.remove(folder))
    services = embedded.start(folder)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="loomsite.settings",
        LOOM_DATA_DIR=str(folder),
        DATABASE_URL=services.database_url,
        DATABASE_OWNER_URL=services.database_owner_url,
        REDIS_URL=services.redis_url,
        LOOM_ALLOWED_HOSTS="localhost,127.0.0.1,testserver",
    )
    import django

    django.setup()
    config.pluginmanager.import_plugin("tests.platform")
