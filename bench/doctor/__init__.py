"""`ramprig doctor`: what this machine can judge in real time, measured and not guessed.

Owns the measuring of the bench's own machine; what lateness makes of a run is `bench/judge.py`'s to say.
"""
