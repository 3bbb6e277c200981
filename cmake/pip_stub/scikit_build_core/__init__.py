# Stands in for the package's build backend while pip downloads its source: nothing of the package is run.
