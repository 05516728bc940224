"""The only bridge to MRML: a patient's timeline and its results as nodes that any Slicer shows.

Imports slicer and vtk, never torch, Qt or a browser host; results come from the files that ``predict`` writes.
"""
