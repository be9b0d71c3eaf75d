"""Media Worker: keeps the bytes behind media rows right."""
