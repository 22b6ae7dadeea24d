"""From the files of runs to tables, figures and the report; `load` gives them to a notebook. Free of torch."""

from mipnerf.faces import face

__all__ = ["load"]
__getattr__ = face(__name__, {"load": "notebook"})
