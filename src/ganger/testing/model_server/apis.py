"""The four APIs, as far as coding agents use them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ganger.testing.model_server.wire import Api, Asked, Json, Refused, Said, framed, fresh, offered, pieces, told


class Anthropic:
    """Anthropic Messages: `POST /v1/messages`."""

    def read(self, path: str, body: Json) -> Asked:
        """Understand a request."""
        messages = body.get("messages", [])
        tools = {tool["name"]: offered(tool["name"], tool.get("input_schema")) for tool in body.get("tools", [])}
        newest = _since(messages, lambda message: message.get("role") == "assistant")
        conversation = told([body.get("system", ""), messages])
        return Asked(body.get("model", ""), tools, conversation, told(newest), bool(body.get("stream")))

    def stream(self, asked: Asked, said: Said) -> list[bytes]:
        """The answer in pieces."""
        return [framed(event, event["type"]) for event in self._events(asked, said)]

    def _events(self, asked: Asked, said: Said) -> Iterator[Json]:
        whole = self.whole(asked, said)
        usage = {**whole["usage"], "output_tokens": 1}
        yield {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": usage}}
        for index, block in enumerate(whole["content"]):
            is_text = block["type"] == "text"
            empty = {**block, "text": ""} if is_text else {**block, "input": {}}
            yield {"type": "content_block_start", "index": index, "content_block": empty}
            for part in pieces(block["text"] if is_text else json.dumps(block["input"])):
                delta = (
                    {"type": "text_delta", "text": part}
                    if is_text
                    else {"type": "input_json_delta", "partial_json": part}
                )
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": said.usage.tokens_out}}
        yield {"type": "message_stop"}

    def whole(self, asked: Asked, said: Said) -> Json:
        """The answer in one."""
        content: list[Json] = [{"type": "text", "text": said.text}] if said.text or said.call is None else []
        if said.call is not None:
            name, arguments = said.call.name, said.call.arguments
            content.append({"type": "tool_use", "id": fresh("toolu"), "name": name, "input": arguments})
        usage = {
            "input_tokens": said.usage.tokens_in,
            "output_tokens": said.usage.tokens_out,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        }
        return {
            "id": fresh("msg"),
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": content,
            "stop_reason": "tool_use" if said.call else "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }

    def refuse(self, refused: Refused) -> tuple[dict[str, str], Json]:
        """Headers and body of an error."""
        kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
        kind = kinds.get(refused.status, "overloaded_error" if refused.status == 529 else "api_error")
        headers = _retry_after(refused)
        if refused.reset_at_s:
            headers |= {
                "anthropic-ratelimit-unified-status": "rejected",
                "anthropic-ratelimit-unified-reset": str(refused.reset_at_s),
                "anthropic-ratelimit-unified-representative-claim": "five_hour",
            }
        return headers, {"type": "error", "error": {"type": kind, "message": refused.message}}


class Responses:
    """OpenAI Responses: `POST /v1/responses`."""

    def read(self, path: str, body: Json) -> Asked:
        """Understand a request."""
        items = body.get("input", [])
        tools = {}
        for tool in body.get("tools", []):
            if tool.get("type") == "namespace":
                space = tool.get("name", "")
                for inner in tool.get("tools", []):
                    tools[f"{space}.{inner['name']}"] = offered(inner["name"], inner.get("parameters"), space)
            elif "name" in tool:
                tools[tool["name"]] = offered(tool["name"], tool.get("parameters"))
        listed = items if isinstance(items, list) else [{"role": "user", "content": items}]
        newest = _since(listed, lambda item: item.get("role") == "assistant" or item.get("type") == "function_call")
        conversation = told([body.get("instructions", ""), listed])
        return Asked(body.get("model", ""), tools, conversation, told(newest), bool(body.get("stream")))

    def stream(self, asked: Asked, said: Said) -> list[bytes]:
        """The answer in pieces."""
        numbered = enumerate(self._events(asked, said))
        return [framed({**event, "sequence_number": number}, event["type"]) for number, event in numbered]

    def _events(self, asked: Asked, said: Said) -> Iterator[Json]:
        whole = self.whole(asked, said)
        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        yield {"type": "response.created", "response": begun}
        for index, item in enumerate(whole["output"]):
            at = {"output_index": index, "item_id": item["id"]}
            empty = {**item, "content": []} if item["type"] == "message" else {**item, "arguments": ""}
            yield {"type": "response.output_item.added", "output_index": index, "item": empty}
            if item["type"] == "message":
                part: Json = {"type": "output_text", "text": "", "annotations": []}
                yield {"type": "response.content_part.added", **at, "content_index": 0, "part": part}
                for text in pieces(item["content"][0]["text"]):
                    yield {"type": "response.output_text.delta", **at, "content_index": 0, "delta": text}
            else:
                yield {"type": "response.function_call_arguments.delta", **at, "delta": item["arguments"]}
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        yield {"type": "response.completed", "response": whole}

    def whole(self, asked: Asked, said: Said) -> Json:
        """The answer in one."""
        output: list[Json] = []
        if said.text or said.call is None:
            content = [{"type": "output_text", "text": said.text, "annotations": []}]
            message = {"type": "message", "id": fresh("msg"), "role": "assistant", "status": "completed"}
            output.append({**message, "content": content})
        if said.call is not None:
            call = {"type": "function_call", "id": fresh("fc"), "call_id": fresh("call"), "name": said.call.name}
            call |= {"arguments": json.dumps(said.call.arguments), "status": "completed"}
            output.append(call | ({"namespace": said.call.space} if said.call.space else {}))
        spent = said.usage
        usage = {
            "input_tokens": spent.tokens_in,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": spent.tokens_out,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": spent.tokens_in + spent.tokens_out,
        }
        return {
            "id": fresh("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed",
            "model": asked.model,
            "output": output,
            "usage": usage,
            "error": None,
            "incomplete_details": None,
            "parallel_tool_calls": False,
            "tool_choice": "auto",
            "tools": [],
        }

    def refuse(self, refused: Refused) -> tuple[dict[str, str], Json]:
        """Headers and body of an error."""
        return _refuse_as_openai(refused)


class Chat:
    """OpenAI Chat Completions: `POST /v1/chat/completions`."""

    def read(self, path: str, body: Json) -> Asked:
        """Understand a request."""
        messages = body.get("messages", [])
        functions = [tool["function"] for tool in body.get("tools", []) if "function" in tool]
        tools = {tool["name"]: offered(tool["name"], tool.get("parameters")) for tool in functions}
        newest = _since(messages, lambda message: message.get("role") == "assistant")
        return Asked(body.get("model", ""), tools, told(messages), told(newest), bool(body.get("stream")))

    def stream(self, asked: Asked, said: Said) -> list[bytes]:
        """The answer in pieces."""
        return [*(framed(chunk) for chunk in self._chunks(asked, said)), framed("[DONE]")]

    def _chunks(self, asked: Asked, said: Said) -> Iterator[Json]:
        head = {"id": fresh("chatcmpl"), "object": "chat.completion.chunk", "created": int(time.time())}
        head |= {"model": asked.model}

        def chunk(delta: Json, reason: str | None = None) -> Json:
            return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

        yield chunk({"role": "assistant", "content": ""})
        for part in pieces(said.text):
            yield chunk({"content": part})
        if said.call is not None:
            yield chunk({"tool_calls": [{"index": 0, **_function(said)}]})
        yield chunk({}, "tool_calls" if said.call else "stop")
        yield {**head, "choices": [], "usage": _chat_usage(said)}

    def whole(self, asked: Asked, said: Said) -> Json:
        """The answer in one."""
        message: Json = {"role": "assistant", "content": said.text or None}
        if said.call is not None:
            message["tool_calls"] = [_function(said)]
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if said.call else "stop"}
        head = {"id": fresh("chatcmpl"), "object": "chat.completion", "created": int(time.time())}
        return {**head, "model": asked.model, "choices": [choice], "usage": _chat_usage(said)}

    def refuse(self, refused: Refused) -> tuple[dict[str, str], Json]:
        """Headers and body of an error."""
        return _refuse_as_openai(refused)


class Gemini:
    """Gemini: `POST /v1beta/models/MODEL:streamGenerateContent` and `:generateContent`."""

    def read(self, path: str, body: Json) -> Asked:
        """Understand a request."""
        tools = {}
        for group in body.get("tools", []):
            for tool in group.get("functionDeclarations", []):
                schema = tool.get("parametersJsonSchema") or tool.get("parameters")
                tools[tool["name"]] = offered(tool["name"], schema)
        contents = body.get("contents", [])
        newest = _since(contents, lambda content: content.get("role") == "model")
        conversation = told([body.get("systemInstruction", ""), contents])
        model = path.partition("/models/")[2].partition(":")[0]
        return Asked(model, tools, conversation, told(newest), ":streamGenerateContent" in path)

    def stream(self, asked: Asked, said: Said) -> list[bytes]:
        """The answer in pieces."""
        parts: list[Json] = [{"text": text} for text in pieces(said.text)]
        if said.call is not None:
            parts.append(_function_call(said))
        whole = self.whole(asked, said)
        begun = [framed({**whole, "candidates": [_candidate([part])], "usageMetadata": {}}) for part in parts]
        return [*begun, framed({**whole, "candidates": [_candidate([{"text": ""}], "STOP")]})]

    def whole(self, asked: Asked, said: Said) -> Json:
        """The answer in one."""
        parts: list[Json] = [{"text": said.text}] if said.text or said.call is None else []
        if said.call is not None:
            parts.append(_function_call(said))
        usage = {
            "promptTokenCount": said.usage.tokens_in,
            "candidatesTokenCount": said.usage.tokens_out,
            "totalTokenCount": said.usage.tokens_in + said.usage.tokens_out,
        }
        return {"candidates": [_candidate(parts, "STOP")], "usageMetadata": usage, "modelVersion": asked.model}

    def refuse(self, refused: Refused) -> tuple[dict[str, str], Json]:
        """Headers and body of an error."""
        names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
        details: list[Json] = []
        if refused.reset_at_s:
            kind = "type.googleapis.com/google.rpc.RetryInfo"
            details = [{"@type": kind, "retryDelay": f"{max(0, refused.reset_at_s - int(time.time()))}s"}]
        error = {"code": refused.status, "message": refused.message, "status": names.get(refused.status, "INTERNAL")}
        return _retry_after(refused), {"error": {**error, "details": details}}


def api_of(path: str) -> Api | None:
    """Say which API is asked by a path; None for what no agent needs."""
    if path.endswith("/v1/messages"):
        return Anthropic()
    if path.endswith("/responses"):
        return Responses()
    if path.endswith("/chat/completions"):
        return Chat()
    return Gemini() if ":streamGenerateContent" in path or ":generateContent" in path else None


def _since(messages: list[Any], is_answer: Any) -> list[Any]:
    """The messages after the model's last."""
    last = max((number for number, message in enumerate(messages) if is_answer(message)), default=-1)
    return messages[last + 1 :]


def _function(said: Said) -> Json:
    assert said.call is not None
    function = {"name": said.call.name, "arguments": json.dumps(said.call.arguments)}
    return {"id": fresh("call"), "type": "function", "function": function}


def _chat_usage(said: Said) -> Json:
    spent = said.usage
    total = spent.tokens_in + spent.tokens_out
    return {"prompt_tokens": spent.tokens_in, "completion_tokens": spent.tokens_out, "total_tokens": total}


def _function_call(said: Said) -> Json:
    assert said.call is not None
    return {"functionCall": {"id": fresh("fc"), "name": said.call.name, "args": said.call.arguments}}


def _candidate(parts: list[Json], reason: str | None = None) -> Json:
    made: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    return made | ({"finishReason": reason} if reason else {})


def _retry_after(refused: Refused) -> dict[str, str]:
    return {"retry-after": str(refused.retry_after_s)} if refused.retry_after_s else {}


def _refuse_as_openai(refused: Refused) -> tuple[dict[str, str], Json]:
    headers: Mapping[str, str] = _retry_after(refused)
    error: Json = {"message": refused.message, "type": "server_error", "param": None, "code": None}
    if refused.status < 500:
        error |= {"type": "invalid_request_error", "code": "invalid_api_key" if refused.status == 401 else None}
    if refused.reset_at_s:
        left = max(0, refused.reset_at_s - int(time.time()))
        error |= {"type": "usage_limit_reached", "resets_at": refused.reset_at_s, "resets_in_seconds": left}
        headers = {**headers, "x-ratelimit-reset-requests": f"{left}s", "x-ratelimit-remaining-requests": "0"}
    return dict(headers), {"error": error}
