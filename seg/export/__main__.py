"""`python -m seg.export --weights W [--output F] [--size HxW|dynamic]`: weights to ONNX, compared with the network."""

import sys

from seg.cli.export import main

sys.exit(main())
