"""Scheduled care of a server's sketches and cubes: roll-ups, accuracy checks, archives, and proof that backups load.

Each is a small program that ends: a timer starts it (deploy/care), it says what it did on standard output, and its exit
status says how it went. `scripts/caretaker --help` names them; docs/care.md shows them at work.
"""
