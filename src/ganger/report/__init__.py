"""The morning report: what the night did, from typed facts, each statement with its evidence."""
