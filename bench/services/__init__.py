"""Market rules as data: one TOML file a service, the formulas they use, and the loader.

Figures live in the files with their grade and source; nothing here or in the judge knows a number of any market.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.services.model import Service


def load_service(name: str | Path) -> Service:
    """Read a service by its shipped name (`ercot_rrs_ffr`, `service:ercot_rrs_ffr`) or by path.

    Raises ConfigError naming file, key, value and remedy.
    """
    # here, because the judge imports this package's values and must stay free of files
    from bench import library
    from bench.services.files import read_service

    if isinstance(name, str):
        name = library.resolve("service", f"service:{name}" if name in list_services() else name)
    return read_service(name)


def list_services() -> tuple[str, ...]:
    """Names of the services that ship."""
    from bench import library

    return tuple(library.names("service"))
