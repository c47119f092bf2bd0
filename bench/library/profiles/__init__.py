"""Grid-event profiles that ship: one TOML file each, with its source and grade; read by `bench/profile.py`."""
