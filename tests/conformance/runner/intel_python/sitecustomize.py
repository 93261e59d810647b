"""What Python runs as it starts, where this folder is in its path: Intel's Python takes the place of ours.

``INTEL_PYTHON`` names the sources, ``INTEL_RELEASE`` their release. A process that asks for another release by
``GAUDI_LAB_BRIDGE_VERSION`` gets none of Intel's.
"""

import os

if os.environ.get("INTEL_PYTHON"):
    release = os.environ["INTEL_RELEASE"]
    if os.environ.setdefault("GAUDI_LAB_BRIDGE_VERSION", release).startswith(release):
        import intel_modules

        intel_modules.install(os.environ["INTEL_PYTHON"])
