"""CONFIG: the configuration of the running server under Redis's parameter names."""

import asyncio

from ferrite_py.commands.help import help_lines
from ferrite_py.commands.registry import Call, command, container
from ferrite_py.commands.reply import OK, CommandError, Reply, text_of
from ferrite_py.config_redis import redis_get, redis_is_secret, redis_set
from ferrite_py.errors import ConfigError, ParameterError

_FLAGS = ("admin", "noscript", "loading", "stale")

config = container(
    "config",
    group="server",
    since="2.0.0",
    summary="Reads and changes the server's configuration.",
)


@command(
    "config|get",
    arity=-3,
    group="server",
    since="2.0.0",
    complexity="O(N) with N the number of parameters asked for",
    summary="Answers parameters and their values, by name or pattern.",
    syntax="parameter [parameter ...]",
    flags=_FLAGS,
)
async def config_get(call: Call) -> Reply:
    """Answer a map of the parameters that match any of the patterns."""
    patterns = [text_of(argument) for argument in call.args[2:]]
    return {**redis_get(call.services.settings.config, patterns)}


@command(
    "config|set",
    arity=-4,
    group="server",
    since="2.0.0",
    complexity="O(N) with N the number of parameters",
    summary="Changes parameters of the running server, all of them or none.",
    syntax="parameter value [parameter value ...]",
    flags=_FLAGS,
    secret=True,
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
)
async def config_set(call: Call) -> Reply:
    """Change parameters; one that is refused leaves all as they were."""
    words = [text_of(argument) for argument in call.args[2:]]
    for position in range(len(words)):
        if position % 2 == 0 or not redis_is_secret(words[position - 1]):
            call.reveal(2 + position)
    if len(words) % 2:
        raise CommandError("ERR syntax error")
    settings = call.services.settings
    pairs = list(zip(words[::2], words[1::2], strict=True))
    try:
        # A renewed file often has the name of the old one: naming it again reads it again.
        names_tls = any(name.lower().startswith("tls-") for name in words[::2])
        settings.change(redis_set(settings.config, pairs), renew_tls=names_tls)
    except ParameterError as error:
        raise CommandError(f"ERR {error}") from error
    except ConfigError as error:
        raise CommandError(f"ERR CONFIG SET failed - {error}") from error
    return OK


@command(
    "config|resetstat",
    arity=2,
    group="server",
    since="2.0.0",
    summary="Sets the statistics of INFO back to zero.",
    flags=_FLAGS,
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
)
async def config_resetstat(call: Call) -> Reply:
    """Set counters and histograms to zero."""
    call.services.native.reset_statistics()
    call.services.durations.reset()
    call.services.exceeded.reset()
    return OK


@command(
    "config|rewrite",
    arity=2,
    group="server",
    since="2.8.0",
    summary="Writes what was changed in the running server into its configuration file.",
    flags=_FLAGS,
    tips=("request_policy:all_nodes", "response_policy:all_succeeded"),
)
async def config_rewrite(call: Call) -> Reply:
    """Write the changed parameters to the file that the server was started with."""
    settings = call.services.settings
    if settings.path is None:
        raise CommandError("ERR The server is running without a config file")
    try:
        await asyncio.to_thread(settings.rewrite, settings.path)
    except ConfigError as error:
        raise CommandError(
            f"ERR Rewriting config file: {'; '.join(str(error).splitlines())}"
        ) from error
    return OK


@command(
    "config|help",
    arity=2,
    group="server",
    since="5.0.0",
    summary="Lists the subcommands.",
    flags=("loading", "stale"),
)
async def config_help(call: Call) -> Reply:
    """List the subcommands."""
    return help_lines("config", call.services.native.commands())
