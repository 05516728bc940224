"""Risk that a child's treated glioma recurs within a year, at every visit of a series of MRI, and where it comes from.

Research use only, trained on simulated data; never a diagnosis.

The way of the data, which is also the order of the folders::

    timeline/    1  what was scanned, when: volumes, visits, a patient's timeline; readers; input checks
    preprocess/  2  one grid, one intensity scale
    encode/      3  volume -> features; visits -> history
    risk/        4  features -> hazards -> calibrated risk
    explain/     5  risk -> heatmap on the volume's own grid
    report/      6  tables, plots, HTML, audit record

``pipeline.predict_risk(timeline, model)`` is the whole path on one screen. Importing this package loads none of it.

Source of the method: Tak D, et al. Longitudinal risk prediction for pediatric glioma with temporal deep learning.
NEJM AI 2025;2(5):AIoa2400703.
"""

__version__ = "0.1.0"

RESEARCH_USE_ONLY = "Research use only, trained on simulated data."
