"""Features to hazards to calibrated risk. Sees tensors and days, never files or nodes."""
