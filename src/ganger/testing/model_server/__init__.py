"""A model server that answers by a script: real agent programs run against it, on loopback, and no model is needed.

    python -m ganger.testing.model_server --script NAME=FILE …      prints its address; any key is good

It speaks Anthropic Messages, OpenAI Responses, OpenAI Chat Completions and Gemini, streamed or whole, on one port.
`http://127.0.0.1:PORT/s/NAME` is the base URL of the session NAME, so many agents can share a server. What a script is
made of is in `steps`; each step becomes a call of the tool that the request offers for it (`tools`).
"""

from ganger.testing.model_server.server import ModelServer, State, Tokens
from ganger.testing.model_server.steps import Case, Script

__all__ = ["Case", "ModelServer", "Script", "State", "Tokens"]
