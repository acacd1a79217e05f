"""From a model's name on the hub to its files on this machine, whole and verified."""
