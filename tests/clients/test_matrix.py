"""Every client does on every face what `expected.toml` says, and the page says the same."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest

from emulator import catalogue, clock
from emulator.clock import Clock
from firmware_mocks import miners
from tests.clients import page
from tests.clients.client import Client
from tests.clients.every import CLIENTS, PYASIC, REAL, VIRTUAL, faces, measured
from tests.clients.expected import ExpectedError, departures, draft, load, tried
from tests.clients.following import SAMPLES_S, Following, follow
from tests.clients.site import Site, many

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # luxos leaves its connections to the collector
]


def assert_as_expected(client: Client) -> None:
    """Measure a client on every face; whatever departs from the file, and faces without rows, stand in the message."""
    expected = faces()
    wrong = []
    for name, findings in measured(client, expected).items():
        face = expected.get(name)
        if face is None or client.name not in face.rows:
            model = min(miners.load(name).models) if face is None else face.model
            wrong.append("expected.toml lacks, as measured:\n" + draft(client, name, model, findings))
        else:
            wrong += departures(client, face, findings)
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("client", VIRTUAL, ids=lambda client: client.name)
def test_a_client_in_virtual_time_does_on_every_face_what_is_written_of_it(client: Client) -> None:
    assert_as_expected(client)


def test_every_client_has_a_place_in_virtual_or_in_real_time_and_is_the_one_that_is_pinned() -> None:
    assert sorted(client.name for client in CLIENTS) == sorted(client.name for client in (*VIRTUAL, *REAL))
    pinned = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for client in CLIENTS:
        assert f'"{client.name}=={client.version}"' in pinned


def test_the_file_has_rows_for_every_face_and_every_client_that_speaks_to_it() -> None:
    expected = faces()
    assert sorted(expected) == sorted(miners.SHIPPED)
    for name, face in expected.items():
        assert sorted(face.rows) == sorted(client.name for client in CLIENTS if tried(client, name))


def test_the_page_says_what_the_file_says() -> None:
    assert page.FILE.read_text(encoding="utf-8") == page.render(CLIENTS, faces()), "make matrix writes it anew"


# ---- detection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(miners.SHIPPED))
def test_a_scan_by_pyasic_is_right_for_a_hundred_miners_out_of_a_hundred(name: str) -> None:
    async def main(time: Clock) -> dict[str, tuple[str, str, str]]:
        async with Site(time, many(name, 100)):
            return await PYASIC.scan("127.9.1.0/25")

    face = faces()[name]
    expected = {f"127.9.1.{n}": face.identity(PYASIC, model) for n, (_, model) in enumerate(many(name, 100), start=1)}
    assert clock.run(main) == expected


# ---- read-backs and physics ------------------------------------------------------------------------------------------


NEVER_S = 0.9 * SAMPLES_S[-1]
"""A mean delay of as much means that the reading has not moved in all the time that it was looked at."""


@pytest.fixture(scope="module")
def followings() -> dict[str, tuple[Following | None, Following | None]]:
    """One miner of every face, stopped and read by pyasic: how watts and hash rate followed."""
    expected = faces()

    async def main(time: Clock) -> list[tuple[Following | None, Following | None]]:
        units = [(name, face.model) for name, face in expected.items()]
        async with Site(time, units) as site:
            return await site.together([partial(follow, PYASIC, miner) for miner in site.miners])

    return dict(zip(expected, clock.run(main), strict=True))


@pytest.mark.parametrize("name", sorted(miners.SHIPPED))
def test_what_pyasic_reads_after_a_stop_follows_the_physics_with_the_firmwares_own_delay(
    followings: dict[str, tuple[Following | None, Following | None]], name: str
) -> None:
    face = faces()[name]
    for seen, delay_s in zip(followings[name], (face.watts_s, face.hash_s), strict=True):
        assert (seen is None) == (delay_s is None)
        if seen is not None:
            right = pytest.approx(delay_s, rel=0.15 + face.scatter, abs=2.0)
            assert seen.delay_s == right or (delay_s == math.inf and seen.delay_s > NEVER_S)
            assert seen.stray < face.stray + 4 * face.scatter


# ---- the file --------------------------------------------------------------------------------------------------------


LUXOS = '[luxos]\nmodel = "s21"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[luxo]\nmodel = "s21"', r"luxo: no such firmware ships; did you mean 'luxos'\?"),
        ('[luxos]\nmodel = "m50s"', r"luxos\.model: 'm50s' is none of its models"),
        (LUXOS + "[luxos.pyasics]", r"luxos\.pyasics: neither a key nor a client; did you mean 'pyasic'"),
        (LUXOS + '[luxos.pyasic]\ncannot = ["wats"]', "'wats' is not tried with pyasic; did you mean 'watts'"),
        (LUXOS + "[luxos.pyasic]\ncannt = []", r"luxos\.pyasic\.cannt: unknown key; did you mean 'cannot'"),
        (LUXOS + '[luxos.pyasic.differs]\nmac = ""', "no reason"),
        (LUXOS + '[luxos.pyasic.notes]\nmac = "so"', r"notes\.mac: only what stands in `cannot`"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "expected.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ExpectedError, match=message):
        load(CLIENTS, file)


def test_a_miner_shows_the_name_that_its_client_has_for_it() -> None:
    assert [client.model_name(catalogue.model("s19j_pro").name) for client in CLIENTS[:2]] == ["S19j Pro", "S19jPro"]
