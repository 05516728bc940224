"""Synthetic longitudinal cohorts with known truth."""
