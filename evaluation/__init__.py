"""Measure the chains on test sets; nothing else in the program needs this folder."""
