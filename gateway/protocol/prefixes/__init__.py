"""All accounts whose names begin so: for one client, and in one partition."""
