"""The heat map of the miners."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest

from bench.facts import HeatMap
from bench.report.heat import STEP_SHARE, UNKNOWN, Heat, heat_picture
from bench.report.thin import decode

S = 1_000_000_000


def pixels(heat: Heat) -> np.ndarray:
    image = pytest.importorskip("PIL.Image", reason="Pillow, an independent reader of PNG, is not installed")
    return np.asarray(image.open(io.BytesIO(base64.b64decode(heat.png.partition(",")[2]))))


def heat_map(share: np.ndarray, *, edges: bool = False) -> HeatMap:
    t_ns = np.arange(share.shape[1] + edges, dtype=np.int64) * S
    return HeatMap(t_ns, tuple(f"m-{k}" for k in range(share.shape[0])), share.astype(np.float32))


@pytest.mark.parametrize("edges", [True, False])
def test_another_png_reader_gets_the_shares_back(edges: bool) -> None:
    share = np.array([[0.0, 0.5, 1.0], [1.25, np.nan, 2.0]])
    heat = heat_picture(heat_map(share, edges=edges), 0, 3 * S)
    assert heat is not None
    grey = pixels(heat)
    assert grey[1, 1] == UNKNOWN
    assert grey[0].astype(float) * STEP_SHARE == pytest.approx(share[0])
    assert grey[1, 2] * STEP_SHARE == pytest.approx(1.25)
    assert decode(heat.edges) == pytest.approx([0, 1, 2, 3])


def test_more_miners_than_rows_are_averaged_and_it_says_how_many() -> None:
    heat = heat_picture(heat_map(np.linspace(0, 1, 1000)[:, np.newaxis] * np.ones((1000, 5))), 0, 5 * S)
    assert heat is not None
    assert (heat.rows, heat.miners_per_row) == (250, 4)
    assert heat.miners[1] == "m-4"
    assert pixels(heat)[:, 0].astype(float) * STEP_SHARE == pytest.approx(
        np.linspace(0, 1, 1000).reshape(250, 4).mean(axis=1), abs=STEP_SHARE
    )


def test_an_unknown_neighbour_does_not_spoil_a_group() -> None:
    share = np.ones((2, 1600))
    share[0, ::2] = np.nan
    share[1, :2] = np.nan
    heat = heat_picture(heat_map(share), 0, 1600 * S)
    assert heat is not None
    assert heat.columns_merged == 2
    assert pixels(heat)[0, 0] * STEP_SHARE == pytest.approx(1.0)
    assert pixels(heat)[1, 0] == UNKNOWN


def test_an_empty_map_is_no_picture() -> None:
    assert heat_picture(heat_map(np.zeros((0, 3))), 0, 3 * S) is None
    assert heat_picture(heat_map(np.zeros((3, 0))), 0, 3 * S) is None
