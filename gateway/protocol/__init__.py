"""The stream protocol, sans-I/O: no sockets, no clock, no asyncio. README.md in this folder is the protocol itself."""
