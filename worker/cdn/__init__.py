"""cdn: copies of audio and sidecar on every target of the CDN."""
