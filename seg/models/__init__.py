"""The paper's networks, and their weights."""

from seg.models.lraspp import LRASPP
from seg.models.mobilenet_v3 import MobileNetV3Encoder, register_encoders
from seg.models.weights import describe, init_from, load, save

register_encoders()

__all__ = ["LRASPP", "MobileNetV3Encoder", "describe", "init_from", "load", "register_encoders", "save"]
