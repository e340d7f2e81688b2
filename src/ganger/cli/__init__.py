"""The command line: builds commands, prints replies, and says its verdict in the exit code."""
