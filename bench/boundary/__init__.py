"""Where a verdict flips: a site whose answer is known exactly, moved across the limits of services by bisection."""
