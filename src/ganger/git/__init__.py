"""The only place that starts git: the hub, the workspaces of runs, their changes, and landings."""
