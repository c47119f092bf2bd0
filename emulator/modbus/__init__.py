"""Modbus as a server speaks it: requests in, replies out, over any transport.

Owns the protocol (`pdu`, `identity`), its transports (`tcp`, `rtu_tcp`, `udp`, `secure`; `rtu`, `ascii` and what a
serial line is in `serial_bus`; `gateway`) and the shapes products are described with (`link`, `registers`, `products`);
what a meter or a PDU answers is theirs.
"""
