"""A payment service on loopback: under one idempotency key it charges once, however often it is asked."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class Payments:
    """`asked` counts the requests of each key, `charges` are the keys in the order in which they were charged."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.charges: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        payments = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["name"]
                most = float(self.headers["X-Seconds"]) / 3
                time.sleep(random.uniform(0, most))  # whoever asks may die before,
                charge = payments.charge(self.headers["Idempotency-Key"], name)
                time.sleep(random.uniform(0, most))  # or when it has happened and nobody knows
                body = json.dumps({"charge": charge}).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # whoever asked is dead

            def log_message(self, *args: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *args: object) -> None: ...

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def charge(self, key: str, name: str) -> str:
        with self._lock:
            self.asked[key] += 1
            if self.asked[key] == 1:
                self.charges.append((key, name))
            return name

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="payments", daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
