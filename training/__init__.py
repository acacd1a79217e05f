"""Train parts of the program on your own questions; a leaf: nothing imports it, and the rest runs without it."""
