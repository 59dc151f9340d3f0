"""Runs prompts for those who write them."""

from __future__ import annotations

from promptforge.actors.ai.errors import HasTools
from promptforge.actors.ai.messages import RunResult, StreamRun
from promptforge.actors.ai.trials.domain import messages_of, settings_of
from promptforge.actors.ai.trials.messages import TrialView, TryPrompt
from promptforge.actors.prompts.rendering.messages import RenderedView, RenderPrompt
from promptforge.core.amounts import to_millicredits
from promptforge.core.context import Context
from promptforge.core.runtime import Actor, handles
from promptforge.core.streams import ReplyStream

PURPOSE = "test"


class TrialsActor(Actor):
    name = "trials"
    asks = ("rendering", "models")

    @handles(TryPrompt)
    async def try_prompt(self, message: TryPrompt, context: Context) -> ReplyStream[TrialView]:
        rendered = await context.ask(
            RenderPrompt(
                prompt_id=message.prompt_id,
                version=message.version,
                label=message.label,
                variables=message.variables,
            )
        )
        if rendered.tools and not message.ignore_tools:
            raise HasTools("Models are not given tools here: with ignore_tools the version runs without them")
        stream = await context.ask(
            StreamRun(
                purpose=PURPOSE,
                messages=messages_of(rendered.content),
                settings=settings_of(rendered, model=message.model, changed=message.settings),
                prompt_id=rendered.prompt_id,
                prompt_version=rendered.version,
                max_millicredits=None if message.max_credits is None else to_millicredits(message.max_credits),
            )
        )
        return stream.then(lambda result: _tested(rendered, result))


def _tested(rendered: RenderedView, result: RunResult) -> TrialView:
    return TrialView(
        run_id=result.run_id,
        prompt_id=rendered.prompt_id,
        version=rendered.version,
        label=rendered.label,
        model=result.model,
        tiny=result.tiny,
        output=result.text,
        finish_reason=result.finish_reason,
        usage=result.usage,
        ignored_tools=tuple(tool.name for tool in rendered.tools),
    )
