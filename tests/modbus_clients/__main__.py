"""`python -m tests.modbus_clients`: read every product with every client on every way, write the page."""

from __future__ import annotations

from tests.modbus_clients.every import clients
from tests.modbus_clients.page import FILE, measure, render
from tests.modbus_clients.site import everything

if __name__ == "__main__":
    tried = clients()
    with everything() as devices:
        cells = measure(tried, devices)
    FILE.write_text(render(tried, cells), encoding="utf-8")
    print(f"{FILE.name} is written: {len(tried)} clients, {len(cells)} products on ways, all read alike")
