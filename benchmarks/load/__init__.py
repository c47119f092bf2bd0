"""Servers and the load generator of the benchmarks that measure a whole process from outside."""
