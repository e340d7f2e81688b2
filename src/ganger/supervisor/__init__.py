"""The process that ticks: observe, reconcile, carry out."""
