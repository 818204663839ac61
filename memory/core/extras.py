"""Packages that only some need: an error that says what to install."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from loom.errors import Unavailable


class MissingPackage(Unavailable, ImportError):
    """An optional package is not installed."""


def is_there(package: str) -> bool:
    """Whether a package can be imported, without doing so."""
    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None


def require(package: str, *, extra: str) -> None:
    """Raise MissingPackage unless a package is there. It is not imported."""
    if not is_there(package):
        raise missing(package, extra)


def imported(module: str, *, extra: str) -> Any:
    """A module of an optional package. Raises MissingPackage when it cannot be imported."""
    try:
        return import_module(module)
    except ImportError as error:
        raise missing(module.partition(".")[0], extra, str(error)) from error


def missing(package: str, extra: str, why: str = "") -> MissingPackage:
    why = f" ({why})" if why else ""
    return MissingPackage(f"{package} is not installed{why}: pip install 'loom[{extra}]'", package=package, extra=extra)
