"""Power meters: what they measure, how late and how coarsely, and in which registers.

Owns the products (`product`, one TOML map each in `maps/`) and their behaviour (`meter`); the Modbus protocol is in
`emulator/modbus`, the true power and frequency belong to the site and the grid.
"""
