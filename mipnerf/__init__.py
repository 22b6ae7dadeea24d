"""mip-NeRF (Barron et al., ICCV 2021) in PyTorch: the library behind the experiment suite."""

__version__ = "0.1.0"
