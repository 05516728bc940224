"""The few ways in which this package fails.

A message says what was wanted, what came, where, and what to do, in one sentence or two, and never holds a patient's
name, identifier or a path that could contain one: visits are named by their number, files by their role.
"""

from __future__ import annotations


class GliomaRiskError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(GliomaRiskError):
    """What was given cannot be used; the command line ends with status 2."""


class TimelineError(InputError):
    """Visits, dates or files do not make one patient's timeline."""


class VolumeError(InputError):
    """A volume cannot be read, or its voxels cannot be used."""


class GeometryError(InputError):
    """A volume's place in space is missing, contradictory or impossible."""


class RegistrationError(InputError):
    """A visit could not be brought onto the first visit well enough to compare the two."""


class BrainMaskError(InputError):
    """No plausible brain mask was found or given."""


class ModelError(InputError):
    """A model bundle is incomplete, altered, or not of a kind this version reads."""


class UsageError(InputError):
    """Options that contradict each other or name what does not exist."""


class OutputError(GliomaRiskError, OSError):
    """A file could not be written: the disk is full, the folder is gone or may not be written to."""


class ShapeError(GliomaRiskError, ValueError):
    """An array or tensor has not the shape that a function documents: a fault of the calling code."""


class Cancelled(GliomaRiskError):
    """The reader asked to stop; the command line ends with status 130."""
