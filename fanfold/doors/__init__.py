"""What the HTTP doors of all sides do alike: read a request strictly, answer it, tell what failed, count.

Plain ASGI. It imports `fanfold.api` and nothing else of ours; sides may import it.
"""
