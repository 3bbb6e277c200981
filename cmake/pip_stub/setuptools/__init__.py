# Stands in for setuptools while pip downloads a package's source, as ../scikit_build_core does for its own.
