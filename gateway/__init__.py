"""The only public door: reverse proxy to both sides, push server, console page."""
