"""The viewer in the browser: Slicer's own views of a patient's timeline, on trame-slicer.

All of trame is in this folder. ``gate.py`` says who may ask for what, ``server.py`` serves it, ``app.py`` puts together
what is shown. Research use only, trained on simulated data; never a diagnosis.
"""
