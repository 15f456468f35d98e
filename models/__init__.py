"""The networks (torch). Runs from a checkout; not in the wheel."""
