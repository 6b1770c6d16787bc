"""What is lost and how long it takes when a server dies, measured on this machine: scripts/drill.

A primary with replicas and Sentinels is started on loopback, written to, and killed without warning; archives and copies
of RDB files are brought to new servers. What an operator is promised (docs/recovery.md) is what this measures.
"""
