"""sync: media_assets and the Cloudinary account mirror each other."""
