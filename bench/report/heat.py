"""The power of every miner over time as a picture the page can colour, zoom and read back.

Owns the reduction to a readable number of rows and columns and the encoding as a grey PNG; colours belong to the page.
"""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.facts import HeatMap
from bench.report.thin import Coded, encode

STEP_SHARE = 0.005
"""One grey level, as a share of nominal power; 250 levels reach 125 %."""
UNKNOWN = 255
_TOP = 250
_MOST_ROWS = 300
_MOST_COLUMNS = 800


@dataclass(frozen=True, slots=True)
class Heat:
    """A grey picture, one row a miner (or a group of neighbours), and the instants of its column edges in seconds."""

    png: str
    rows: int
    columns: int
    edges: Coded
    miners: list[str]
    """First miner of each row."""
    miners_per_row: int
    columns_merged: int
    column_s: float
    """Mean duration of a column."""
    step: float = STEP_SHARE


def heat_picture(heat: HeatMap, origin_ns: int, stop_ns: int) -> Heat | None:
    """The picture of a heat map; None where there is nothing to show. The last column ends at `stop_ns` at the latest.

    More miners than rows, or more instants than columns, are averaged in groups (columns weighted by their duration).
    """
    share = np.asarray(heat.share, dtype=np.float32)
    edges = np.asarray(heat.t_ns, dtype=np.int64)
    if edges.size == share.shape[1]:
        edges = np.append(edges, stop_ns)
    if share.size == 0 or edges.size != share.shape[1] + 1 or np.any(np.diff(edges) <= 0):
        return None
    per_row = -(-share.shape[0] // _MOST_ROWS)
    per_column = -(-share.shape[1] // _MOST_COLUMNS)
    share = _grouped(share, np.ones(share.shape[0], dtype=np.float32), per_row)
    share = _grouped(share.T, (np.diff(edges) / 1e9).astype(np.float32), per_column).T
    edges = np.append(edges[:-1][::per_column], edges[-1])
    grey = np.where(np.isnan(share), UNKNOWN, np.clip(np.rint(share / STEP_SHARE), 0, _TOP)).astype(np.uint8)
    return Heat(
        png="data:image/png;base64," + base64.b64encode(grey_png(grey)).decode("ascii"),
        rows=grey.shape[0],
        columns=grey.shape[1],
        edges=encode((edges - origin_ns) / 1e9, 1e-6),
        miners=list(heat.miners[::per_row]),
        miners_per_row=per_row,
        columns_merged=per_column,
        column_s=float(edges[-1] - edges[0]) / 1e9 / grey.shape[1],
    )


def grey_png(grey: NDArray[np.uint8]) -> bytes:
    """An 8-bit greyscale PNG (ISO/IEC 15948), shape (rows, columns)."""
    rows, columns = grey.shape
    lines = np.hstack([np.zeros((rows, 1), dtype=np.uint8), grey])  # filter type 0 before each line
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _grouped(rows: NDArray[np.float32], weight: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Weighted means of `size` neighbouring rows; a group without any known value is NaN."""
    if size == 1:
        return rows
    starts = np.arange(0, rows.shape[0], size)
    gap = np.isnan(rows)
    known = np.where(gap, np.float32(0), weight[:, np.newaxis])
    total = np.add.reduceat(np.where(gap, np.float32(0), rows) * known, starts, axis=0)
    mass = np.add.reduceat(known, starts, axis=0)
    mean: NDArray[np.float32] = np.divide(total, mass, out=np.full_like(total, np.nan), where=mass > 0)
    return mean
