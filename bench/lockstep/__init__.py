"""Controllers in a process of their own that live in the bench's virtual time; the protocol is decision 14."""
