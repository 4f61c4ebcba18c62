"""`python -m speeddata` is `speeddata`."""

import sys

from speeddata.cli import main

sys.exit(main())
