"""The frames of the stream `wallet.v1`: what a client says and what the gateway says, one class each.

The rules of a conversation stand in `gateway/protocol/PROTOCOL.md`; these are its shapes.
"""
