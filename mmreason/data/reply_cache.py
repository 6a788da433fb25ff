"""Replies of an endpoint on disk, by the content of the request: what was paid for once is never asked again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from mmreason.errors import UserError


def request_key(body: dict[str, Any], attempt: int) -> str:
    """SHA-256 of the request (model and sampling included) and of the attempt's number."""
    text = json.dumps({"body": body, "attempt": attempt}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class ReplyCache:
    """A SQLite file; each reply is committed when it arrives, so a kill loses at most the calls in flight."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, timeout=30)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
            self._db.commit()
        except sqlite3.DatabaseError as error:
            raise UserError(f"{path} is not a usable reply cache ({error}); move it away and run again") from error

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored reply, if any."""
        with self._lock:
            row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, key: str, reply: dict[str, Any]) -> None:
        """Store and commit."""
        try:
            with self._lock, self._db:
                self._db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, json.dumps(reply)))
        except sqlite3.OperationalError as error:
            raise UserError(
                f"cannot write the reply cache {self.path} ({error}); free some disk and run again"
            ) from error

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT COUNT(*) FROM replies").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()
