# The same answers as scikit_build_core's stand-in gives, under the name that packages with a setup.py ask for.
from scikit_build_core.build import get_requires_for_build_wheel, prepare_metadata_for_build_wheel

__all__ = ["get_requires_for_build_wheel", "prepare_metadata_for_build_wheel"]
