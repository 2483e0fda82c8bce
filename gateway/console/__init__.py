"""The console page and the API page: files as they are, no build, nothing from other hosts."""
