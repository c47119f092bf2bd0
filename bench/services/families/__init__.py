"""What the members of a family of services have in common; each member names its file in `extends`."""
