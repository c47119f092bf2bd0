"""The firmware that runs on the emulated hardware, and the controllers that command it."""
