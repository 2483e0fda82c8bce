"""The stream protocol, sans-I/O: no sockets, no clock, no asyncio. PROTOCOL.md in this folder is the protocol itself."""
