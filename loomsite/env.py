"""The environment, checked: every value that differs between places.

A variable comes from the process environment, else from `.env` in the project, else from what the embedded servers
wrote down (`services.json` in the data folder). `.env.example` lists them all.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from agents.core import faults
from loom.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
SERVICES = "services.json"


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _faults(value: Any) -> Any:
    return faults.parse(value) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Folder = Annotated[Path, AfterValidator(lambda path: ROOT / path.expanduser())]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


class Env(BaseSettings):
    """The variables and their defaults. Descriptions end the sentence "LOOM_… must be …"."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, case_sensitive=True, validate_default=False
    )

    secret_key: str = Field(
        "", validation_alias="LOOM_SECRET_KEY", min_length=32, description="at least 32 random characters", repr=False
    )
    debug: bool = Field(False, validation_alias="LOOM_DEBUG", description="true or false")
    port: int = Field(8000, validation_alias="LOOM_PORT", ge=1, le=65535, description="a port from 1 to 65535")
    database_url: str = Field(
        "",
        validation_alias="DATABASE_URL",
        pattern=r"^postgres(ql)?://",
        description="postgresql://user:password@host:port/name",
        repr=False,
    )
    database_owner_url: str = Field(
        "",
        validation_alias="DATABASE_OWNER_URL",
        pattern=r"^postgres(ql)?://",
        description="postgresql://owner:password@host:port/name",
        repr=False,
    )
    redis_url: str = Field(
        "",
        validation_alias="REDIS_URL",
        pattern=r"^(rediss?|unix)://",
        description="redis://:password@host:port/0",
        repr=False,
    )
    data_dir: Folder = Field(ROOT / "var", validation_alias="LOOM_DATA_DIR", description="a folder")
    model: str = Field("", validation_alias="LOOM_MODEL", description="a model such as openai:gpt-5")
    modules: Words = Field((), validation_alias="LOOM_MODULES", description="import paths, separated by commas")
    worker_concurrency: int = Field(
        200, validation_alias="LOOM_WORKER_CONCURRENCY", ge=1, le=10_000, description="a number from 1 to 10000"
    )
    lease_seconds: int = Field(
        30, validation_alias="LOOM_LEASE_SECONDS", ge=2, le=3600, description="a number of seconds from 2 to 3600"
    )
    grace_seconds: float = Field(
        5, validation_alias="LOOM_GRACE_SECONDS", ge=0, le=3600, description="a number of seconds from 0 to 3600"
    )
    sandbox: Literal["strict", "degraded"] = Field(
        "strict", validation_alias="LOOM_SANDBOX", description="strict or degraded"
    )
    master_key: str = Field(
        "", validation_alias="LOOM_MASTER_KEY", min_length=32, description="at least 32 random characters", repr=False
    )
    log_level: Level = Field(
        "INFO", validation_alias="LOOM_LOG_LEVEL", description="DEBUG, INFO, WARNING, ERROR or CRITICAL"
    )
    allowed_hosts: Words = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        validation_alias="LOOM_ALLOWED_HOSTS",
        description="host names, separated by commas",
    )

    fault: Annotated[tuple[faults.Plan, ...], NoDecode, BeforeValidator(_faults)] = Field(
        (), validation_alias="LOOM_FAULT", description="point:action:nth as agents/core/faults.py lists them"
    )
    behind_tls: bool = Field(False, validation_alias="LOOM_BEHIND_TLS", description="true or false")

    @model_validator(mode="before")
    @classmethod
    def _owner_is_app_by_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Who brings one role only, say for a try, gets migrations under it; `checks.py` refuses that in production."""
        return (
            {"DATABASE_OWNER_URL": values.get("DATABASE_URL", ""), **values} if values.get("DATABASE_URL") else values
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, _ServicesFile(settings_cls)


class _ServicesFile(PydanticBaseSettingsSource):
    """What the embedded servers of the data folder wrote down."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # the file is taken as a whole, below

    def __call__(self) -> dict[str, Any]:
        file = ROOT / self.current_state.get("LOOM_DATA_DIR", "var") / SERVICES
        try:
            values: dict[str, Any] = json.loads(file.read_text())
        except FileNotFoundError:
            return {}
        except PermissionError as error:
            raise ConfigError(f"{file} belongs to another user: run as that user, or set LOOM_DATA_DIR") from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"{file} cannot be read ({error}): repair it, or delete the folder it is in") from error
        if "DATABASE_URL" in self.current_state:
            values.pop("DATABASE_OWNER_URL", None)  # it is the owner of another database
        return values


@cache
def get_env() -> Env:
    """The complete environment of a platform process. Ends the process with one sentence when something is wrong."""
    try:
        env = load_env()
        _refuse_missing(env)
        if env.fault and not env.debug:
            raise ConfigError("LOOM_FAULT breaks this process on purpose: unset it, or set LOOM_DEBUG=true for a test")
    except ConfigError as error:
        raise SystemExit(f"loom: {error}") from None
    return env


def load_env() -> Env:
    """The environment as far as it is known: before the embedded servers ran, their URLs are empty.

    Raises ConfigError. What `.env` says is put into the process environment, where model clients look for their keys.
    """
    for name, value in dotenv_values(ROOT / ".env").items():
        if value:
            os.environ.setdefault(name, value)
    try:
        return Env()
    except ValidationError as error:
        raise ConfigError(_sentence(error)) from None


def _refuse_missing(env: Env) -> None:
    required = {
        "DATABASE_URL": (env.database_url, "no database: run `make run`, or set DATABASE_URL"),
        "REDIS_URL": (env.redis_url, "no broker: run `make run`, or set REDIS_URL"),
        "LOOM_SECRET_KEY": (env.secret_key, "LOOM_SECRET_KEY is not set: set it to at least 32 random characters"),
        "LOOM_MASTER_KEY": (env.master_key, "LOOM_MASTER_KEY is not set: set it to at least 32 random characters"),
    }
    for value, sentence in required.values():
        if not value:
            raise ConfigError(sentence)


def _sentence(error: ValidationError) -> str:
    """One sentence on the first wrong variable. A value that may hold a secret is not repeated."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    field = next(field for field in Env.model_fields.values() if field.validation_alias == name)
    shown = f", not {str(first['input'])!r}" if field.repr else ""
    return f"{name} must be {field.description}{shown}: correct it in the environment or in .env"
