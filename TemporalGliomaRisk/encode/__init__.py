"""Volume to features, visits to history. Sees tensors and days, never files or nodes."""
