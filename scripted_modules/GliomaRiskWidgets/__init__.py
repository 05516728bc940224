"""The parts of the Temporal Glioma Risk module: a file a step of its panel, and what they share."""
