"""Everything about checkpoint files: hashes, weights, folders, downloads, addresses."""
