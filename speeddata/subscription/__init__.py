"""Chosen signals for other systems: who gets what, where to, and the delivery that loses nothing."""
