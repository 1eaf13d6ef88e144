"""Training away from TensorFlow: the step out as JAX artefacts, the trained state back in.

`export_step` writes a folder with the very training step that `zoo train` runs, its state and its
data; `tools/run_step.py` runs it on a host that has JAX and nothing else; `import_step` makes a
run's folder of what comes back. JAX is the optional extra `portable`, imported by
`zoo.training.portable.lowering` alone; taking a run back needs none.
"""

from zoo.training.portable.exporting import export_step
from zoo.training.portable.importing import import_step

__all__ = ["export_step", "import_step"]
