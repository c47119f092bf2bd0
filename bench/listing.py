"""`ramprig list`: what ships, as columns and rows of text.

Owns the choice of columns; the facts come from the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import library
from bench.config import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Columns = tuple[str, ...]
    Rows = Sequence[tuple[str, ...]]


def listing(kind: str) -> tuple[Columns, Rows]:
    """Columns and rows for one kind: models, firmware, meters, pdus, relays, services, profiles, rigs or suites."""
    return _LISTS[kind]()


def _models() -> tuple[Columns, Rows]:
    from emulator import catalogue

    rows = []
    for name in catalogue.model_ids():
        model = catalogue.model(name)
        grade = model.figures["nominal_w"].grade
        rows.append(
            (name, model.type_string, model.variant, f"{model.nominal_ths:g} TH/s", f"{model.nominal_w:g} W",
             f"{model.sleep_w:g} W", model.chip, grade, model.figures["nominal_w"].source)
        )  # fmt: skip
    return ("id", "model", "variant", "hash rate", "power", "asleep", "chip", "grade", "source"), rows


def _firmware() -> tuple[Columns, Rows]:
    from firmware_mocks import miners

    rows = []
    for name in miners.names():
        firmware = miners.load(name)
        ports = ", ".join(f"{port} ({face})" for face, port in firmware.ports.items())
        rows.append((name, firmware.title, ", ".join(sorted(firmware.models)), ports, firmware.phases))
    return ("name", "title", "models", "ports", "phases"), rows


def _meters() -> tuple[Columns, Rows]:
    from emulator.meters.product import list_products, load_product

    rows = []
    for name in list_products():
        product = load_product(name)
        registers = {row.address: row for row in (*product.input.rows, *product.holding.rows)}.values()
        figures = {fact.name: f"{fact.value} [{fact.grade}]" for fact in product.facts}
        power, frequency = figures["refresh.power.period"], figures["refresh.frequency.period"]
        rows.append(
            (
                name,
                f"{product.make} {product.model}: {product.title}",
                f"power every {power} within {figures['accuracy.power_limit']}, frequency every {frequency}",
                f"registers {_counted(registers)}; figures {_counted(product.facts)}",
                _sources((*registers, *product.facts)),
            )
        )
    return ("id", "product", "figures", "grades", "source"), rows


def _counted(graded: Iterable[object]) -> str:
    """How many of each grade, the best first."""
    from emulator.modbus.products import GRADES

    grades = [str(getattr(one, "grade", "")) for one in graded]
    return " ".join(f"{grade} {grades.count(grade)}" for grade in GRADES if grade in grades)


def _pdus() -> tuple[Columns, Rows]:
    from emulator.pdus.product import list_products, load_product

    rows = []
    for name in list_products():
        product = load_product(name)
        bits = (*product.coils.told, *product.discrete_inputs.told)
        registers = tuple((row.grade, row.source) for row in (*product.holding.rows, *product.input.rows))
        sources = dict.fromkeys([*(source for _, source in (*bits, *registers)), *(f.source for f in product.facts)])
        rows.append(
            (name, f"{product.make} {product.model}", product.title, str(product.outputs), _told(bits),
             _told(registers), _grades(product.facts), "; ".join(sources))
        )  # fmt: skip
    return ("id", "product", "title", "outlets", "bits", "registers", "grades", "source"), rows


def _relays() -> tuple[Columns, Rows]:
    from emulator.protection.product import list_products, load_product

    rows = []
    for name in list_products():
        product = load_product(name)
        registers = tuple((row.grade, row.source) for row in product.registers.rows)
        sources = dict.fromkeys([*(source for _, source in registers), *(f.source for f in product.facts)])
        rows.append(
            (name, f"{product.make} {product.model}", product.title, str(product.elements), _told(registers),
             _grades(product.facts), "; ".join(sources))
        )  # fmt: skip
    return ("id", "product", "title", "elements", "registers", "grades", "source"), rows


def _told(told: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(sorted({grade for grade, _ in told})) or "none"


def _grades(facts: tuple[object, ...]) -> str:
    return ", ".join(sorted({str(getattr(fact, "grade", "")) for fact in facts}))


def _sources(facts: tuple[object, ...]) -> str:
    return "; ".join(dict.fromkeys(str(getattr(fact, "source", "")) for fact in facts))


def _services() -> tuple[Columns, Rows]:
    from bench.services import load_service

    rows = []
    for name in library.names("service"):
        service = load_service(library.resolve("service", f"service:{name}"))
        rows.append((name, service.title, str(len(service.checks))))
    return ("name", "title", "checks"), rows


def _profiles() -> tuple[Columns, Rows]:
    from bench.profile import load_profile

    rows = []
    for name in library.names("profile"):
        profile = load_profile(library.resolve("profile", f"profile:{name}"))
        rows.append(
            (name, profile.title, f"{profile.duration_ns / 1e9:g} s", ", ".join(profile.channels) or "none",
             profile.source.grade, profile.source.text)
        )  # fmt: skip
    return ("name", "title", "length", "channels", "grade", "source"), rows


def _rigs() -> tuple[Columns, Rows]:
    from bench.rig_file import load_rig

    rows = []
    for name in library.names("rig"):
        rig, _ = load_rig(f"rig:{name}")
        count = sum(table.count for feeder in rig.feeder for table in feeder.miners)
        rows.append((name, rig.title, str(count), f"{rig.commitment / 1e3:g} kW", rig.network.subnet))
    return ("name", "title", "miners", "commitment", "subnet"), rows


def _suites() -> tuple[Columns, Rows]:
    rows = []
    for name in library.names("suite"):
        raw = read_toml(library.folder("suite") / f"{name}.toml")
        rows.append((name, str(raw.get("title", "")), str(len(raw.get("case", ())))))
    return ("name", "title", "cases"), rows


_LISTS: dict[str, Callable[[], tuple[Columns, Rows]]] = {
    "models": _models,
    "firmware": _firmware,
    "meters": _meters,
    "pdus": _pdus,
    "relays": _relays,
    "services": _services,
    "profiles": _profiles,
    "rigs": _rigs,
    "suites": _suites,
}
