"""``python -m wakesleep``."""

import sys

from wakesleep.cli import main

sys.exit(main())
