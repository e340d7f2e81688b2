"""Starting workers: a port, one module per agent product behind it, and the one place that starts their processes."""
