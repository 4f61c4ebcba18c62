"""One file a command: open, connect, report."""
