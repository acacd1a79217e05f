"""From one file to its text: a reader a format; each takes a path and a Reading and yields Stretches."""
