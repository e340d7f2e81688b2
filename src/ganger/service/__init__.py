"""The one door to a fleet: its configuration, its commands and how its parts are put together."""
