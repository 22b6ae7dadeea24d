"""Weights of other implementations, in and out.

All of them pass through one form: the parameters of google/mipnerf as a flat mapping such as
"MLP_0/Dense_0/kernel" -> [in, out].
"""

from mipnerf.interop.flax import export_flax
from mipnerf.interop.importing import import_checkpoint
from mipnerf.interop.parameters import flax_params, load_flax_params

__all__ = ["export_flax", "flax_params", "import_checkpoint", "load_flax_params"]
