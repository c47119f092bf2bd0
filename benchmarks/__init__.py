"""Speed, measured as a ratio in one run against a named peer, and reported; never asserted by the clock."""
