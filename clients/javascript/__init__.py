"""The JavaScript client, as a package of files: the gateway serves it to its console."""
