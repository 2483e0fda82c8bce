"""uPlot, as it was released: what the console draws with."""
