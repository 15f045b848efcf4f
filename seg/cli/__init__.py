"""Command lines: they parse arguments, connect the parts and turn errors into sentences and exit codes."""
