"""Exports networks to files that run without torch, and has the torch engine that they are compared with.

Import from `seg.export.exporter`, or `seg.export.onnx_export` for a network in memory. Nothing is imported here, so that
`lraspp export` reads its options before torch is imported.
"""
