"""The grid operator's interfaces: what he publishes, and how a controller can listen to it.

`notices.py` makes messages of a profile's signals; each interface is a device of its own (`rest.py`, `mqtt.py`,
`openadr3.py`, `openadr2.py`, `contact.py`).
"""
