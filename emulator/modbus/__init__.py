"""Modbus as a server speaks it: requests in, replies out, over any transport.

Owns the protocol (`pdu`, `identity`), its framing on TCP (`tcp`) and the shapes products are described with
(`link`, `registers`, `products`); what a meter or a PDU answers is theirs.
"""
