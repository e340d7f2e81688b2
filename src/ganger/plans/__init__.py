"""Plans: files that say which items are wanted, read with all their faults at once."""
