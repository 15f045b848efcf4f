"""`lraspp export --weights W`: weights to ONNX, OpenVINO or torch's export, compared with the network."""

import sys

from seg.cli.export import main

sys.exit(main())
