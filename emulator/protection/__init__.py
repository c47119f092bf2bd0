"""Protection relays: devices that open a breaker by themselves, and say so over Modbus.

Owns the products (`product`, one TOML map each in `maps/`), their frequency elements (`frequency`, `moving_mean`) and
the device (`relay`); the breaker they open belongs to the site.
"""
