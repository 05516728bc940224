"""What a reader is given: tables, plots, HTML, the audit record."""
