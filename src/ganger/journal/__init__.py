"""The append-only list of events, the only source of truth, and the tables that are rebuilt from it."""
