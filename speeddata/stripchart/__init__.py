"""The stripchart in a terminal: a face of the model in `speeddata.chart`."""
