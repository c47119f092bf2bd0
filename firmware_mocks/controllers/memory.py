"""What the reference controller must not forget when it restarts: what it holds, for what, and by which units.

Owns keeping it, in a file or, without one, in the object itself; what is worth keeping is said by who keeps it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Memory:
    """One state, replaced as a whole. A file that cannot be read is no memory."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._text = ""

    def keep(self, state: dict[str, Any]) -> None:
        """Replace what is kept; a file appears whole or not at all."""
        self._text = json.dumps(state)
        if self._file is not None:
            part = self._file.with_name(f"{self._file.name}.part")
            part.write_text(self._text, encoding="utf-8")
            part.replace(self._file)

    def kept(self) -> dict[str, Any] | None:
        """What was kept last; None where nothing was."""
        try:
            text = self._file.read_text(encoding="utf-8") if self._file is not None else self._text
            state = json.loads(text)
        except (OSError, ValueError):
            return None
        return state if isinstance(state, dict) else None
