"""Schemes that pyserial finds here once `emulator.serial_port` has named this package to it.

Owns nothing but the place: a scheme is a module `protocol_SCHEME` (pyserial, `serial.protocol_handler_packages`).
"""
