"""How well an engine grounds: published and strict figures, the data sets they are taken on, and their runs."""
