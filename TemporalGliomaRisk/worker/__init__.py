"""The same pipeline in a process of its own, kept warm, spoken to in JSON lines.

``client`` runs in the host (Slicer, the browser host, a script), ``server`` in the worker; ``messages`` is what both
agree on, ``schemas/`` says it for everyone else. Importing this package loads nothing.
"""
