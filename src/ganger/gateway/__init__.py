"""The only way of a jailed worker to its model: a proxy that holds the key, meters, and refuses what passes the cap."""
