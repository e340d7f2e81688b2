"""`ganger demo`: a whole night on a real library, with agents that work, lie, crash, hang and ask."""
