"""Network to artifact, verified against torch. Runs from a checkout."""
