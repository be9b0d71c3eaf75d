"""The database: connections and the schema."""
