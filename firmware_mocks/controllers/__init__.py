"""Controllers: the reference, and the faulty ones the bench has to catch. They speak only the wire."""
