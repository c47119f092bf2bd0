"""What runs in real time begins with what takes long."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The others are spread over the processes behind it."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
