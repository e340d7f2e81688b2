"""The model APIs that agents speak: which calls there are, what one can cost at most, and what it did cost.

Anthropic Messages, OpenAI Responses and Chat Completions, Gemini. Only the calls named here are sent on. A token is at
least one byte of the request in every tokenizer that the providers describe; what a request only refers to (an earlier
answer, a file, a picture by its address) is reckoned as all that the model's context holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ganger.gateway.prices import Tokens

FRAME_TOKENS = 2_000
"""What a provider adds by itself to a request with tools."""
_MEDIA = re.compile(
    rb'"type"\s*:\s*"(?:image|image_url|input_image|document|file|input_file|input_audio|container_upload|item_reference)"'
    rb'|"(?:inlineData|inline_data|fileData|file_data)"\s*:'
)
_ESCAPED = re.compile(rb"\\(?:u00([4-7][0-9A-Fa-f])|\\)")
ESCAPED_MAX = 20_000
"""Of a request with more letters written as numbers nobody looks what they say."""
_TOKENS_MAX = 100_000_000
"""Of any number of tokens or answers that a request names."""
_CONTENT = frozenset({"messages", "input", "contents", "system", "instructions", "systemInstruction"})
"""What a request says. It is long, nothing in it is looked at, and it is not taken apart."""
SETTINGS_BYTES_MAX = 4 << 20
_DEARER = frozenset({"service_tier", "speed", "inference_geo", "prediction", "web_search_options", "mcp_servers"})
"""What makes a call cost more than its tokens at the plain price; where there is a limit, it goes without."""
_REFERENCES = ("previous_response_id", "conversation", "prompt", "cachedContent", "cached_content", "mcp_servers")


class Unfit(Exception):
    """A request that is not sent on; the message says why."""


class Call(Struct, frozen=True):
    """What a request asks for."""

    model: str
    fields: dict[str, Any]
    """Its body."""
    body: bytes
    """The same as it came."""
    refers: bool
    """Whether it refers to something that is not in it."""
    output_max: int | None
    """The most tokens that it lets come out; None: it does not say."""
    answers: int = 1
    """How many answers it asks for at once."""
    hosted: frozenset[int] = frozenset()
    """Places, in its list of tools, of those that the provider itself carries out."""

    def plain(self) -> Call:
        """The same request without what nobody can bound the cost of: tools of the provider's own, dearer service.

        Each name stands in it once, so that the provider cannot read another value than we did.
        """
        fields = {name: value for name, value in self.fields.items() if name not in _DEARER and name != "tools"}
        tools = self.fields.get("tools") or ()
        kept = [tool for at, tool in enumerate(tools) if at not in self.hosted]
        if kept:
            fields["tools"] = kept
        return replace(self, fields=fields, body=msgspec.json.encode(fields), hosted=frozenset())

    def tokens_in_max(self, context: int) -> int:
        """The most tokens that it can be."""
        return context if self.refers else min(len(self.body) + FRAME_TOKENS, context)


class Api(Struct, frozen=True):
    """One provider's interface."""

    name: str
    upstream: str
    """Where it is, unless the settings say otherwise."""
    paid: re.Pattern[str]
    """Paths of the calls that cost something (all POST); the model may stand in them."""
    free: re.Pattern[str]
    """Paths of those that cost nothing."""
    key_header: str
    read: Callable[[str, bytes], Call]
    """Read a request by its path and body; Unfit when it cannot be bounded."""
    bound: Callable[[str, Call, int | None], bytes]
    """Write a request so that at most so many tokens come out of each answer (None: as it says), and what it used is
    told."""
    used: Callable[[Any, Tokens], Tokens]
    """Take one message of an answer into account, after what the ones before came to."""
    ends: Callable[[Any, Tokens], bool]
    """Whether a message of a stream is the one after which all that was used has been told, which came to so much. An
    answer that ends without a word of it has told nothing."""
    error: Callable[[int, str], dict[str, Any]]
    """An error in this API's own shape."""


def key_of(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The key that a request carries, wherever its API puts it; empty: none."""
    bearer = headers.get("authorization", "")
    if bearer[:7].lower() == "bearer ":
        return bearer[7:].strip()
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or query.get("key", "")


def _fields(body: bytes) -> dict[str, Any]:
    try:
        # What is decoded takes many times the room of the text.
        found = _parts(body)
        told = {name: value for name, value in found.items() if name not in _CONTENT}
        if sum(len(memoryview(value)) for value in told.values()) > SETTINGS_BYTES_MAX:
            raise Unfit(f"the request says more than {SETTINGS_BYTES_MAX >> 20} MiB beside its messages")
        return {**found, **{name: msgspec.json.decode(value) for name, value in told.items()}}
    except msgspec.ValidationError:
        raise Unfit("the request is not a JSON object") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unfit(f"the request is not JSON: {error}") from None


_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _refers(fields: Mapping[str, Any], body: bytes) -> bool:
    """Whether what it is cannot be told from how long it is: pictures and documents, and whatever lies elsewhere."""
    numbers = body.count(b"\\u00")
    if any(fields.get(name) for name in _REFERENCES) or numbers > ESCAPED_MAX:
        return True
    return _MEDIA.search(_ESCAPED.sub(_letter, body) if numbers else body) is not None


def _letter(escaped: re.Match[bytes]) -> bytes:
    """What an escape stands for, should it be a letter: a word can be written in many ways."""
    return bytes([int(escaped[1], 16)]) if escaped[1] else escaped[0]


def _count(fields: Mapping[str, Any], *names: str) -> int | None:
    """The number that goes by one of some names; a provider may go by any of them."""
    found = {name: fields[name] for name in names if fields.get(name) is not None}
    for name, value in found.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _TOKENS_MAX:
            raise Unfit(f"`{name}` is not a number of tokens")
    if len(set(found.values())) > 1:
        raise Unfit(f"{' and '.join(f'`{name}`' for name in found)} say different things")
    return max(found.values(), default=None)


def _model(fields: Mapping[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise Unfit("the request names no model")
    return model


def _hosted(fields: Mapping[str, Any], is_local: Callable[[Mapping[str, Any]], bool]) -> frozenset[int]:
    """Places in the list of tools of those that the provider itself carries out: nobody can bound what they cost."""
    tools = fields.get("tools") or []
    if not isinstance(tools, list):
        raise Unfit("`tools` is not a list")
    return frozenset(at for at, tool in enumerate(tools) if not isinstance(tool, dict) or not is_local(tool))


def _number(found: Any, name: str) -> int:
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _totals(taken: int, kept: int, given: int, before: Tokens) -> Tokens:
    """Totals of an answer so far, where input that was kept is counted in `taken`."""
    if not taken:
        return Tokens(before.input, before.cache_read, 0, max(before.output, given))
    return Tokens(taken - min(kept, taken), min(kept, taken), 0, max(before.output, given))


# Anthropic Messages.


def _read_messages(path: str, body: bytes) -> Call:
    fields = _fields(body)
    hosted = _hosted(
        fields, lambda tool: tool.get("type") in (None, "custom") or str(tool.get("type")).startswith(_LOCAL_TOOLS)
    )
    return Call(_model(fields), fields, body, _refers(fields, body), _count(fields, "max_tokens"), hosted=hosted)


_LOCAL_TOOLS = ("bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")
"""Tools whose shape the provider knows, but which the agent carries out; and the search in the list of tools itself."""


def _bound_messages(path: str, call: Call, output_max: int | None) -> bytes:
    if output_max is None:
        return call.body
    thinking = call.fields.get("thinking")
    fields = call.fields | {"max_tokens": output_max}
    if isinstance(thinking, dict) and _number(thinking, "budget_tokens") >= output_max:
        fields["thinking"] = {"type": "disabled"}
    return msgspec.json.encode(fields)


def _used_messages(message: Any, before: Tokens) -> Tokens:
    if not isinstance(message, dict):
        return before
    inner = message.get("message")
    usage = message.get("usage") or (inner.get("usage") if isinstance(inner, dict) else None)
    if not isinstance(usage, dict):
        return before
    return Tokens(
        max(before.input, _number(usage, "input_tokens")),
        max(before.cache_read, _number(usage, "cache_read_input_tokens")),
        max(before.cache_write, _number(usage, "cache_creation_input_tokens")),
        max(before.output, _number(usage, "output_tokens")),
    )


def _ends_messages(message: Any, used: Tokens) -> bool:
    return isinstance(message, dict) and message.get("type") == "message_stop" and used != Tokens()


def _error_messages(status: int, text: str) -> dict[str, Any]:
    kind = {403: "permission_error", 404: "not_found_error", 401: "authentication_error"}
    return {"type": "error", "error": {"type": kind.get(status, "invalid_request_error"), "message": text}}


# OpenAI: Responses and Chat Completions.


def _is_function(tool: Mapping[str, Any]) -> bool:
    if tool.get("type") == "namespace":
        inner = tool.get("tools")
        return isinstance(inner, list) and all(isinstance(one, dict) and _is_function(one) for one in inner)
    return tool.get("type") in ("function", "custom", "local_shell", "apply_patch", "tool_search")


def _read_openai(path: str, body: bytes) -> Call:
    fields = _fields(body)
    hosted = _hosted(fields, _is_function)
    answers = _count(fields, "n")
    if fields.get("background"):
        raise Unfit("a call in the background goes on when nobody meters it")
    output_max = _count(fields, "max_output_tokens", "max_completion_tokens", "max_tokens")
    return Call(_model(fields), fields, body, _refers(fields, body), output_max, max(answers or 1, 1), hosted)


def _bound_openai(path: str, call: Call, output_max: int | None) -> bytes:
    changes: dict[str, Any] = {}
    if path.endswith("/responses"):
        changes = {} if output_max is None else {"max_output_tokens": output_max}
    else:
        if output_max is not None:
            names = [name for name in ("max_tokens", "max_completion_tokens") if name in call.fields]
            changes |= dict.fromkeys(names or ["max_completion_tokens"], output_max)
        if call.fields.get("stream"):
            options = call.fields.get("stream_options")
            changes["stream_options"] = (options if isinstance(options, dict) else {}) | {"include_usage": True}
    return msgspec.json.encode(call.fields | changes) if changes else call.body


def _used_openai(message: Any, before: Tokens) -> Tokens:
    if not isinstance(message, dict):
        return before
    inner = message.get("response")
    usage = message.get("usage") or (inner.get("usage") if isinstance(inner, dict) else None)
    if not isinstance(usage, dict):
        return before
    details = usage.get("input_tokens_details") or usage.get("prompt_tokens_details")
    kept = _number(details, "cached_tokens")
    taken = _number(usage, "input_tokens") or _number(usage, "prompt_tokens")
    given = _number(usage, "output_tokens") or _number(usage, "completion_tokens")
    return _totals(taken, kept, given, before)


def _ends_openai(message: Any, used: Tokens) -> bool:
    if not isinstance(message, dict):
        return False
    kind = message.get("type")
    # What failed at the provider's is not charged, and often tells nothing.
    is_last = kind == "response.failed" or (kind in ("response.completed", "response.incomplete") and used != Tokens())
    return is_last or bool(message.get("usage"))


def _error_openai(status: int, text: str) -> dict[str, Any]:
    return {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": "ganger_refused"}}


# Gemini.

_GEMINI = re.compile(r"/v1(?:beta)?/models/([\w.-]+):(?:stream)?[gG]enerateContent")


def _read_gemini(path: str, body: bytes) -> Call:
    fields = _fields(body)
    hosted = _hosted(fields, lambda tool: set(tool) <= {"functionDeclarations", "function_declarations"})
    if "generationConfig" in fields and "generation_config" in fields:
        raise Unfit("`generationConfig` is there twice")
    settings = fields.get("generationConfig") or fields.get("generation_config") or {}
    if not isinstance(settings, dict):
        raise Unfit("`generationConfig` is not an object")
    found = _GEMINI.fullmatch(path)
    if found is None:
        raise Unfit("the request names no model")
    output_max = _count(settings, "maxOutputTokens", "max_output_tokens")
    answers = _count(settings, "candidateCount", "candidate_count")
    return Call(found[1], fields, body, _refers(fields, body), output_max, max(answers or 1, 1), hosted)


def _bound_gemini(path: str, call: Call, output_max: int | None) -> bytes:
    if output_max is None:
        return call.body
    settings = call.fields.get("generationConfig") or call.fields.get("generation_config") or {}
    settings = {name: value for name, value in settings.items() if name != "max_output_tokens"}
    rest = {name: value for name, value in call.fields.items() if name != "generation_config"}
    return msgspec.json.encode(rest | {"generationConfig": settings | {"maxOutputTokens": output_max}})


def _used_gemini(message: Any, before: Tokens) -> Tokens:
    if isinstance(message, list):
        for one in message:
            before = _used_gemini(one, before)
        return before
    usage = message.get("usageMetadata") if isinstance(message, dict) else None
    if not isinstance(usage, dict):
        return before
    kept = _number(usage, "cachedContentTokenCount")
    taken = _number(usage, "promptTokenCount") + _number(usage, "toolUsePromptTokenCount")
    given = _number(usage, "candidatesTokenCount") + _number(usage, "thoughtsTokenCount")
    return _totals(taken, kept, given, before)


def _ends_gemini(message: Any, used: Tokens) -> bool:
    candidates = message.get("candidates") if isinstance(message, dict) else None
    told = isinstance(candidates, list) and all(isinstance(one, dict) and one.get("finishReason") for one in candidates)
    return told and bool(message.get("usageMetadata"))


def _error_gemini(status: int, text: str) -> dict[str, Any]:
    word = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}.get(status, "INVALID_ARGUMENT")
    return {"error": {"code": status, "message": text, "status": word}}


APIS = {
    api.name: api
    for api in (
        Api(
            "anthropic",
            "https://api.anthropic.com",
            re.compile(r"POST /v1/messages"),
            re.compile(r"POST /v1/messages/count_tokens|GET /v1/models(/\w[\w.-]*)?"),
            "x-api-key",
            _read_messages,
            _bound_messages,
            _used_messages,
            _ends_messages,
            _error_messages,
        ),
        Api(
            "openai",
            "https://api.openai.com",
            re.compile(r"POST /v1/(responses|chat/completions)"),
            re.compile(r"GET /v1/models(/\w[\w.-]*)?"),
            "authorization",
            _read_openai,
            _bound_openai,
            _used_openai,
            _ends_openai,
            _error_openai,
        ),
        Api(
            "gemini",
            "https://generativelanguage.googleapis.com",
            re.compile(rf"POST {_GEMINI.pattern}"),
            re.compile(r"POST /v1(beta)?/models/[\w.-]+:countTokens|GET /v1(beta)?/models(/\w[\w.-]*)?"),
            "x-goog-api-key",
            _read_gemini,
            _bound_gemini,
            _used_gemini,
            _ends_gemini,
            _error_gemini,
        ),
    )
}
