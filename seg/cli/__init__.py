"""Command lines: they parse arguments, wire the parts and turn errors into sentences and exit codes."""
