"""Switched power distribution units: outlets that a controller opens and closes over Modbus.

Owns the products (`product`, one TOML map each in `maps/`) and their behaviour (`pdu`, `metering`); what an outlet
feeds and how its contactor follows belong to the site.
"""
