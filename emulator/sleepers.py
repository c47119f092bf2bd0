"""Says in words what the tasks of a loop wait for.

Owns the text for error messages; it changes no task.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import CodeType
from typing import Any

_ASYNCIO = str(Path(asyncio.__file__).parent)
_MOST = 20


def sleepers(loop: asyncio.AbstractEventLoop) -> str:
    """Each task that is not done: its name, its coroutine, the line where it waits and, inside asyncio, on what."""
    tasks = sorted((task for task in asyncio.all_tasks(loop) if not task.done()), key=_by_name)
    if not tasks:
        return "no task"
    more = f"; and {len(tasks) - _MOST} more" if len(tasks) > _MOST else ""
    return "; ".join(_describe(task) for task in tasks[:_MOST]) + more


def _by_name(task: asyncio.Task[Any]) -> tuple[int, str]:
    # "Task-10" comes after "Task-9".
    name = task.get_name()
    return len(name), name


def _describe(task: asyncio.Task[Any]) -> str:
    coro: Any = task.get_coro()
    name = getattr(coro, "__qualname__", type(coro).__name__)
    place, within = "", ""
    while coro is not None:
        code, line = _position(coro)
        if code is not None and line is not None:
            if code.co_filename.startswith(_ASYNCIO):
                within = within or f" in {code.co_qualname}"
            else:
                place, within = f" at {code.co_filename}:{line}", ""
        coro = _awaited(coro)
    return f"{task.get_name()} ({name}){place}{within}"


def _position(coro: Any) -> tuple[CodeType | None, int | None]:
    for code, frame in (("cr_code", "cr_frame"), ("gi_code", "gi_frame"), ("ag_code", "ag_frame")):
        if hasattr(coro, code):
            at = getattr(coro, frame)
            return getattr(coro, code), at.f_lineno if at is not None else None
    return None, None


def _awaited(coro: Any) -> Any:
    for attribute in ("cr_await", "gi_yieldfrom", "ag_await"):
        inner = getattr(coro, attribute, None)
        if inner is not None:
            return inner
    return None
