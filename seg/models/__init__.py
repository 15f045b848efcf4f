"""The paper's networks, and their weights."""

from seg.models.lraspp import LRASPP
from seg.models.mobilenet import MobileNetEncoder, register_encoders
from seg.models.network import SegmentationNetwork
from seg.models.raspp import RASPP
from seg.models.storage import describe, init_from, load, save

register_encoders()

__all__ = ["LRASPP", "RASPP", "MobileNetEncoder", "SegmentationNetwork", "describe", "init_from", "load", "register_encoders",
           "save"]
