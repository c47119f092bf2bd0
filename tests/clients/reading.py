"""What clients read of a miner, in one form, and what of it is so.

Owns the list of data fields with the law each must obey against the physics; how a client is asked is its own module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from emulator.wire import SECOND
from tests.clients.verdict import Finding, cannot, differs, works

if TYPE_CHECKING:
    from tests.clients.site import Standing

T = TypeVar("T")


@dataclass
class Board:
    """One hash board; None is what the client does not tell."""

    hash_ths: float | None = None
    expected_ths: float | None = None
    chips: int | None = None
    expected_chips: int | None = None
    board_c: float | None = None
    chip_c: float | None = None
    serial: str | None = None
    frequency_mhz: float | None = None
    voltage_v: float | None = None
    tuned: bool | None = None
    active: bool | None = None


@dataclass
class PoolSeen:
    """One pool as a client shows it."""

    url: str | None = None
    user: str | None = None
    accepted: int | None = None
    rejected: int | None = None
    active: bool | None = None
    alive: bool | None = None


@dataclass
class Reading:
    """Everything a client can tell of a miner; None or empty is what it does not tell."""

    ip: str | None = None
    mac: str | None = None
    serial_number: str | None = None
    psu_serial_number: str | None = None
    hostname: str | None = None
    api_version: str | None = None
    firmware_version: str | None = None
    control_board: str | None = None
    uptime_s: float | None = None
    is_mining: bool | None = None
    state: str | None = None
    hash_ths: float | None = None
    expected_ths: float | None = None
    sticker_ths: float | None = None
    boards: list[Board] = field(default_factory=list)
    expected_boards: int | None = None
    total_chips: int | None = None
    chip_count: int | None = None
    """Chips of which the client tells something one by one."""
    temperature_c: float | None = None
    inlet_c: float | None = None
    fluid_c: float | None = None
    outlet_fluid_c: float | None = None
    watts: float | None = None
    limit_w: float | None = None
    efficiency_j_th: float | None = None
    psu_voltage_v: float | None = None
    fans_rpm: list[float] = field(default_factory=list)
    expected_fans: int | None = None
    psu_fan_rpm: float | None = None
    pools: list[PoolSeen] = field(default_factory=list)
    errors: list[str] | None = None
    light: bool | None = None
    settings: str | None = None
    tuning_target: str | None = None
    tuning_percent: int | None = None
    tuning_range: str | None = None
    dev_fee: bool | None = None
    best_share: float | None = None
    session_best_share: float | None = None


Check = Callable[[Reading, "Standing"], Finding]


def _tells(get: Callable[[Reading], T | None], right: Callable[[T, Standing], bool]) -> Check:
    """A field that is right when `right` says so of a value that was told."""

    def check(reading: Reading, miner: Standing) -> Finding:
        told = get(reading)
        if told is None or told in ("", []):
            return cannot()
        try:
            return works(told) if right(told, miner) else differs(told)
        except TypeError:  # a client may tell something of another type than it documents
            return differs(told)

    return check


def _boards(get: Callable[[Board], T | None], right: Callable[[list[T], Standing], bool]) -> Check:
    """A value of every board, right when `right` says so of all of them."""

    def told(reading: Reading) -> list[T] | None:
        seen = [get(board) for board in reading.boards]
        values = [value for value in seen if value is not None]
        return values or None

    def all_right(values: list[T], miner: Standing) -> bool:
        return len(values) == miner.model.boards and right(values, miner)

    return _tells(told, all_right)


def near(value: float, truth: float, share: float, plus: float = 0.0) -> bool:
    """Whether `value` is within `share` of `truth`, or `plus` beyond that."""
    return abs(value - truth) <= share * abs(truth) + plus


def _text(told: str, _miner: Standing) -> bool:
    return told.strip().lower() not in ("unknown", "none", "n/a")


def _warm(values: Sequence[float], miner: Standing) -> bool:
    unit, now = miner.unit, miner.site.now
    return all(unit.inlet_c(now) < c < unit.temperature_c(now) + 25 for c in values)


def _uptime(told: float, miner: Standing) -> bool:
    """Since power came, the miner has been up and its process has run."""
    since = miner.unit.powered_since_ns(miner.site.now)
    return since is not None and near(told, (miner.site.now - since) / SECOND, 0.001, 60)


def _voltages(told: list[float], miner: Standing) -> bool:
    """Of the board, or of one of its chips, whichever the firmware tells."""
    low, high = CHIP_V
    return all(near(volts, miner.model.voltage_v, 0.03) or low < volts < high for volts in told)


def _pools(told: list[PoolSeen], _miner: Standing) -> bool:
    first = told[0]
    return (
        "://" in (first.url or "")
        and first.active is not False
        and first.alive is not False
        and first.accepted != 0
        and not any(pool.active for pool in told[1:])
    )


def near_rate(ths: float, miner: Standing) -> bool:
    """Whether a hash rate is the true one, within four standard deviations where the firmware's reading scatters."""
    return near(ths, miner.hash_ths, max(HASH_SHARE, 4 * miner.scatter))


HASH_SHARE = 0.08
"""How far a shown hash rate may be from the true one: averages of seconds carry the noise of counting shares."""
WATTS_SHARE = 0.2
"""How far shown watts may be from true ones: firmware estimates them, off by 3 % (sd) from unit to unit, and some of it
leaves out the PSU's losses of up to 10 %."""

CHIP_V = (0.2, 0.6)
"""What a chip of these generations can run on, volts. GK"""

FIELDS: dict[str, tuple[str, Check]] = {
    "ip": ("address", _tells(lambda r: r.ip, lambda told, m: told == m.address)),
    "mac": ("MAC address", _tells(lambda r: r.mac, lambda told, m: told.lower() == m.host.mac)),
    "serial_number": ("serial number", _tells(lambda r: r.serial_number, lambda told, m: told == m.host.serial)),
    "psu_serial_number": ("serial number of the PSU", _tells(lambda r: r.psu_serial_number, _text)),
    "hostname": ("host name", _tells(lambda r: r.hostname, lambda told, m: told == m.host.hostname)),
    "api_version": ("API version", _tells(lambda r: r.api_version, _text)),
    "firmware_version": ("firmware version", _tells(lambda r: r.firmware_version, _text)),
    "control_board": ("control board", _tells(lambda r: r.control_board, _text)),
    "uptime": ("uptime", _tells(lambda r: r.uptime_s, _uptime)),
    "is_mining": ("is mining", _tells(lambda r: r.is_mining, lambda told, m: told is True)),
    "state": ("operating state", _tells(lambda r: r.state, lambda told, m: told.lower() in ("mining", "stable"))),
    "hash_rate": ("hash rate", _tells(lambda r: r.hash_ths, near_rate)),
    "expected_hash_rate": (
        "expected hash rate",
        _tells(lambda r: r.expected_ths, lambda told, m: near(told, m.model.nominal_ths, 0.03)),
    ),
    "sticker_hash_rate": (
        "hash rate on the sticker",
        _tells(lambda r: r.sticker_ths, lambda told, m: near(told, m.model.nominal_ths, 0.01)),
    ),
    "boards": (
        "hash boards",
        _tells(
            lambda r: r.boards or None,
            lambda told, m: len(told) == m.model.boards and all(board.active is not False for board in told),
        ),
    ),
    "expected_boards": ("boards expected", _tells(lambda r: r.expected_boards, lambda told, m: told == m.model.boards)),
    "board_hash_rate": (
        "hash rate of each board",
        _boards(
            lambda b: b.hash_ths,
            lambda told, m: near_rate(sum(told), m) and min(told) > 0.8 * max(told),
        ),
    ),
    "board_expected_hash_rate": (
        "expected hash rate of each board",
        _boards(lambda b: b.expected_ths, lambda told, m: near(sum(told), m.model.nominal_ths, 0.03)),
    ),
    "board_chips": (
        "chips of each board",
        _boards(lambda b: b.chips, lambda told, m: set(told) == {m.model.chips_per_board}),
    ),
    "board_expected_chips": (
        "chips expected on each board",
        _boards(lambda b: b.expected_chips, lambda told, m: set(told) == {m.model.chips_per_board}),
    ),
    "board_temperature": ("temperature of each board", _boards(lambda b: b.board_c, _warm)),
    "chip_temperature": ("temperature of each board's chips", _boards(lambda b: b.chip_c, _warm)),
    "board_serial_number": (
        "serial number of each board",
        _boards(lambda b: b.serial or None, lambda told, m: len(set(told)) == m.model.boards),
    ),
    "board_frequency": (
        "frequency of each board",
        _boards(lambda b: b.frequency_mhz, lambda told, m: all(near(f, m.model.frequency_mhz, 0.03) for f in told)),
    ),
    "board_voltage": (
        "voltage of each board",
        _boards(lambda b: b.voltage_v, _voltages),
    ),
    "board_tuned": ("each board is tuned", _boards(lambda b: b.tuned, lambda told, m: all(told))),
    "board_active": ("each board is active", _boards(lambda b: b.active, lambda told, m: all(told))),
    "total_chips": (
        "chips in all",
        _tells(lambda r: r.total_chips, lambda told, m: told == m.model.boards * m.model.chips_per_board),
    ),
    "each_chip": (
        "each chip",
        _tells(lambda r: r.chip_count or None, lambda told, m: told == m.model.boards * m.model.chips_per_board),
    ),
    "temperature": ("mean temperature", _tells(lambda r: r.temperature_c, lambda told, m: _warm([told], m))),
    "inlet_temperature": (
        "inlet temperature",
        _tells(lambda r: r.inlet_c, lambda told, m: near(told, m.unit.inlet_c(m.site.now), 0, 5)),
    ),
    "fluid_temperature": ("fluid temperature", _tells(lambda r: r.fluid_c, lambda told, m: _warm([told], m))),
    "outlet_fluid_temperature": (
        "outlet fluid temperature",
        _tells(lambda r: r.outlet_fluid_c, lambda told, m: _warm([told], m)),
    ),
    "watts": ("watts", _tells(lambda r: r.watts, lambda told, m: near(told, m.power_w, WATTS_SHARE))),
    "power_limit_shown": (
        "power limit",
        _tells(lambda r: r.limit_w, lambda told, m: 0.9 <= told / m.model.nominal_w <= 1.2),
    ),
    "efficiency": (
        "efficiency",
        _tells(
            lambda r: r.efficiency_j_th or None,
            lambda told, m: near(told, m.power_w / m.hash_ths, HASH_SHARE + 4 * m.scatter + WATTS_SHARE),
        ),
    ),
    "psu_voltage": ("voltage of the PSU", _tells(lambda r: r.psu_voltage_v, lambda told, m: 1 < told < 500)),
    "fans": (
        "fans",
        _tells(
            lambda r: [rpm for rpm in r.fans_rpm if rpm] or None,
            lambda told, m: len(told) == m.model.fans and all(500 < rpm < 12_000 for rpm in told),
        ),
    ),
    "expected_fans": ("fans expected", _tells(lambda r: r.expected_fans, lambda told, m: told == m.model.fans)),
    "psu_fan": ("fan of the PSU", _tells(lambda r: r.psu_fan_rpm, lambda told, m: told > 0)),
    "pools": ("pools", _tells(lambda r: r.pools or None, _pools)),
    "errors": (
        "errors",
        lambda r, m: cannot() if r.errors is None else differs(r.errors) if r.errors else works("none, and none is so"),
    ),
    "fault_light": ("fault light", _tells(lambda r: r.light, lambda told, m: told is False)),
    "settings": ("settings", _tells(lambda r: r.settings, _text)),
    "tuning_target": ("tuning target", _tells(lambda r: r.tuning_target, _text)),
    "tuning_percent": ("tuning in per cent", _tells(lambda r: r.tuning_percent, lambda told, m: told == 100)),
    "tuning_range": ("range of tuning", _tells(lambda r: r.tuning_range, _text)),
    "dev_fee": ("pool of the development fee connected", _tells(lambda r: r.dev_fee, lambda told, m: told is True)),
    "best_share": ("best share", _tells(lambda r: r.best_share, lambda told, m: told > 0)),
    "session_best_share": (
        "best share of the session",
        _tells(lambda r: r.session_best_share, lambda told, m: told > 0),
    ),
}
"""Every data field: its title, and what it must be on a miner in its factory state that has hashed for days."""
