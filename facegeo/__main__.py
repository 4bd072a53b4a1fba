"""``python -m facegeo`` is the command ``facegeo``."""

import sys

from facegeo.cli import main

sys.exit(main())
