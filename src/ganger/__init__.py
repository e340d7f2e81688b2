"""Ganger runs a gang of coding agents on a git repository, unattended, and believes nothing they say."""

__version__ = "0.1.0"
