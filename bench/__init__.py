"""The harness: rigs, profiles, runs, measurements, verdicts and reports."""
