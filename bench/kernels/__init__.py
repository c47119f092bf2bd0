"""`ramprig kernels`: which SHA-256d kernels this machine has, that they are right, and how fast they are.

Owns listing, proving and measuring; the kernels themselves and the choice among them are `fastpath`'s.
"""
