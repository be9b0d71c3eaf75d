"""archive: a track's files are in the team's own storage before its provider deletes them."""
