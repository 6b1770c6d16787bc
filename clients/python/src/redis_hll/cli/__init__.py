"""The command line `redis-hll`."""
