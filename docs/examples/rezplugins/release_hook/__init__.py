"""rez finds plugins in directories that are packages."""
