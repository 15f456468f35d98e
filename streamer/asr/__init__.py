"""Words: the timeline and the recognisers that feed it."""
