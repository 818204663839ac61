"""A log in a file of JSON lines, written by several processes at once.

Beside `audit.jsonl` lie `audit.jsonl.head`, the signed end of the chain and the lock of its writers, and, unless a
secret is given, `audit.jsonl.key`, the secret, readable by its owner only. Whoever can read the key can forge the log:
keep the secret elsewhere where that matters, and a head outside to notice that all files were rolled back together.
"""

from audit.core.file_log.log import FileAuditLog

__all__ = ["FileAuditLog"]
