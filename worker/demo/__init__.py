"""Everything `media-worker dev` and `demo` need on one machine: database, storage, provider."""
