"""python -m emtdamp: the command line."""

import sys

from emtdamp.cli import main

sys.exit(main())
