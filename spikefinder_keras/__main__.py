"""`python -m spikefinder_keras` is the command `spikefinder-keras`."""

import sys

from .cli import main

sys.exit(main())
