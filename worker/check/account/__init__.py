"""The Cloudinary account, against what rows and the log of deletions say of it."""
