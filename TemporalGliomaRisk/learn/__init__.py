"""How the weights came to be: cohorts, splits, temporal order, fine-tuning, calibration, checkpoints."""
