"""pysunspec2, the standard's own client, finds and reads every meter model at every base address."""

from __future__ import annotations

import math

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import Refresh, load_product
from emulator.timeline import Signal
from emulator.wire import MILLISECOND
from tests.system.modbus_site import free_port, served

pytestmark = pytest.mark.system

MODELS = (201, 202, 203, 204, 211, 212, 213, 214)
BASES = (40000, 0, 50000)
ADDRESS = {
    (model, base): f"127.79.{number}.{model}" for number, base in enumerate(BASES, start=1) for model in MODELS
}  # fmt: skip
WATTS, VOLTS, HERTZ, PF = 36e3, 230.0, 59.87, 0.9
AT_ONCE = {group: Refresh(MILLISECOND, MILLISECOND) for group in ("frequency", "power", "energy")}
"""Values of the first millisecond of a run would be those of its start."""
PHASES = {1: 1, 2: 2, 3: 3, 4: 3}
BETWEEN_LINES = {1: None, 2: 2.0, 3: math.sqrt(3.0), 4: math.sqrt(3.0)}


class Point:
    """36 kW at 230 V, and a counter that stands at 10 kWh: what is read does not depend on when."""

    def power_w(self, at):
        return WATTS

    def energy_j(self, start, stop):
        return WATTS * (stop - start) * 1e-9 if start else 36e6

    def voltage_v(self, at):
        return VOLTS


@pytest.fixture(scope="module")
def port():
    """Every model at every base, each on an address of its own, unit 1."""
    port, grid = free_port(), Grid(60.0, 1e6)
    grid.play({"frequency": Signal.constant(HERTZ)}, 0)
    devices = {
        address: Meter(
            load_product(f"sunspec_{model}"), Point(), grid, base=base, power_factor=PF, refresh=AT_ONCE
        ).device(port)
        for (model, base), address in ADDRESS.items()
    }
    with served(devices):
        yield port


def scanned(address: str, port: int):
    device = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr=address, ipport=port, timeout=3)
    device.connect()
    device.scan()
    return device


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("model", MODELS)
def test_the_standards_client_scans_and_reads_the_model(port, model, base):
    device = scanned(ADDRESS[model, base], port)
    try:
        assert device.base_addr == base
        assert [key for key in device.models if isinstance(key, int)] == [1, model]
        common, meter = device.models[1][0], device.models[model][0]
        assert (common.Mn.value, common.Md.value, common.DA.value) == ("ramprig", f"Meter {model}", 1)
        assert meter.L.value == (105 if model < 210 else 124)
        kind, whole = model % 10, model < 210
        phases, lines = PHASES[kind], BETWEEN_LINES[kind]
        shown = {point: getattr(meter, point).cvalue for point in ("Hz", "W", "VA", "VAR", "A", "PF", "PhV", "PPV")}
        step = {"Hz": 0.01, "W": 100.0, "VA": 100.0, "VAR": 100.0, "A": 1.0, "PF": 0.01, "PhV": 0.1, "PPV": 0.1}
        expected = {
            "Hz": HERTZ,
            "W": WATTS,
            "VA": WATTS / PF,
            "VAR": WATTS * math.tan(math.acos(PF)),
            "A": WATTS / PF / VOLTS,
            "PF": PF * (100.0 if whole else 1.0),
            "PhV": None if kind == 4 else VOLTS,
            "PPV": None if lines is None else VOLTS * lines,
        }
        for point, value in expected.items():
            if value is None:
                assert shown[point] is None or math.isnan(shown[point]), point
            else:
                assert shown[point] == pytest.approx(value, abs=step[point] / 2 if whole else 0, rel=1e-6), point
        assert meter.AphA.cvalue == pytest.approx(expected["A"] / phases, abs=0.5 if whole else 0, rel=1e-6)
        absent = meter.AphC.cvalue
        assert (absent is None or math.isnan(absent)) == (phases < 3)
        assert meter.TotWhImp.cvalue == pytest.approx(10_000.0)
        assert meter.TotWhExp.cvalue == (None if whole else 0.0)  # 0 in an accumulator says that nothing is counted
        assert meter.Evt.value == 0
    finally:
        device.close()


def test_every_point_of_every_model_is_read_and_none_is_nonsense(port):
    for model in MODELS:
        device = scanned(ADDRESS[model, 40000], port)
        meter = device.models[model][0]
        meter.read()
        for name, point in meter.points.items():
            value = point.cvalue
            assert value is None or isinstance(value, str) or math.isnan(value) or abs(value) < 1e6, (model, name)
        device.close()
