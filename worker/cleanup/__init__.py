"""cleanup: the bytes of deleted rows disappear too."""
