"""The mathematics under the reference's names, the networks, and an image from one."""

from mipnerf.network.model import MipNerf

__all__ = ["MipNerf"]
