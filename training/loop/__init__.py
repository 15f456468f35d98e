"""One training loop for every system: steps, order, saving, many processes."""
