"""Networks to files that run without torch, and the torch engine that they are compared with.

Import from `seg.export.onnx_export`. Nothing is imported here, so that `python -m seg.export` reads its options before torch
is imported.
"""
