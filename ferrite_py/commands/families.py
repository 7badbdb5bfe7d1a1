"""The families of Python's commands: the one list that the table is made from."""

from ferrite_py.commands import command, config, info, insight, memory, prefixes, server, tiers
from ferrite_py.commands.registry import collect

TABLE = collect((command, config, info, insight, memory, prefixes, server, tiers))
