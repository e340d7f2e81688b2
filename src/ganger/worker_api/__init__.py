"""What a running agent talks to: the gate that answers its hooks, the client that asks it, and the rules of both."""
