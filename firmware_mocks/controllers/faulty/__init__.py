"""Controllers with one defect each, for the bench to catch. A file is a defect, its docstring the rule it breaks.

`KILLED_BY` in a file declares which check must catch it, and in which scenario of `ramprig selftest`.
"""
