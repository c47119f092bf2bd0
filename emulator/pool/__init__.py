"""A mining pool beside the site: a Stratum V1 server, and the shares that the emulated miners would hand in.

The bench needs it for two things: miners that have a pool to talk to, and a measure of work done that no miner's own
display can falsify. It pays nobody and finds no blocks.
"""
