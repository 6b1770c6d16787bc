"""The demonstration behind scripts/run: a stream of events goes into sketches, and the answers beside the exact ones."""
