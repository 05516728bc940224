"""Risk to heatmap on the volume's own grid, and the checks that the map means what it shows."""
