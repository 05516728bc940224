"""What was scanned, and when: volumes, visits, timelines, their readers, and the checks on what was given."""
