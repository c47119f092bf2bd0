"""The hardware of a site: clock, power, fleet, electrical tree, grid, meters, PDUs, pool and network."""
