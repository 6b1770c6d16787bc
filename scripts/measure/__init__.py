"""What the module costs beside the server's own HyperLogLog (PF): scripts/bench."""
