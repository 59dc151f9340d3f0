"""What is sent to whom: where the providers' protocols differ."""

from __future__ import annotations

from promptforge.actors.ai.providers.anthropic_messages import _request
from promptforge.actors.ai.providers.interface import Prompt, Speaker, Turn
from promptforge.actors.ai.providers.openai_compatible import OpenAICompatible

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}}
CHAT = (Turn(Speaker.SYSTEM, "Be brief."), Turn(Speaker.USER, "Hello"), Turn(Speaker.ASSISTANT, "Hi"))


def test_anthropic_gets_the_system_text_beside_the_chat_and_the_schema_as_output_format() -> None:
    request = _request(Prompt("m", (*CHAT, Turn(Speaker.SYSTEM, "Be kind.")), 9, stop=("END",), schema=SCHEMA))
    assert request == {
        "model": "m",
        "max_tokens": 9,
        "system": "Be brief.\n\nBe kind.",
        "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}],
        "stop_sequences": ["END"],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
    }


def test_a_chat_of_system_messages_only_is_said_by_the_user_to_anthropic() -> None:
    request = _request(Prompt("m", (Turn(Speaker.SYSTEM, "Say hello."),), 9))
    assert request["messages"] == [{"role": "user", "content": "Say hello."}]
    assert "system" not in request


def test_sampling_parameters_go_to_anthropic_only_where_they_were_chosen() -> None:
    assert "extra_body" not in _request(Prompt("m", CHAT, 9))
    chosen = _request(Prompt("m", CHAT, 9, temperature=0.0, top_p=0.5))
    assert chosen["extra_body"] == {"temperature": 0.0, "top_p": 0.5}


def test_openai_itself_gets_the_new_name_of_the_limit_and_other_servers_the_old_one() -> None:
    prompt = Prompt("m", CHAT, 9)
    assert OpenAICompatible("k")._request(prompt)["max_completion_tokens"] == 9
    assert OpenAICompatible("k", base_url="http://127.0.0.1:1/v1")._request(prompt)["max_tokens"] == 9
