"""Commands of this release on values of types that later releases bring."""

from __future__ import annotations

import pytest

from tests.support.both import Both
from tests.support.match import anything

MAKERS = {
    "lpush": ("LPUSH", "k", "a", "b"),
    "hset": ("HSET", "k", "f", "v"),
    "sadd": ("SADD", "k", "a"),
    "zadd": ("ZADD", "k", "1", "a"),
    "xadd": ("XADD", "k", "1-1", "f", "v"),
}
USES = """
GET k|SET k v NX|SET k v XX|SET k v GET|SET k v NX GET|SET k v XX GET|GETEX k|GETEX k EX 100000
GETDEL k|GETSET k v|SETNX k v|APPEND k v|STRLEN k|GETRANGE k 0 1|SUBSTR k 0 1|SETRANGE k 0 v
SETRANGE k 0 ""|MGET k missing|MSETNX k v|INCR k|DECR k|INCRBY k 1|DECRBY k 1|INCRBYFLOAT k 1
LCS k k|LCS s k|SETBIT k 0 1|GETBIT k 0|BITCOUNT k|BITCOUNT k a b|BITPOS k 1|BITPOS k 2
BITOP NOT d k|BITOP AND d s k|BITFIELD k GET u8 0|BITFIELD k SET u8 0 1|BITFIELD_RO k GET u8 0
PFADD k a|PFCOUNT k|PFCOUNT s k|PFMERGE k s|PFMERGE d k|TYPE k|EXISTS k|TTL k|PERSIST k|TOUCH k
EXPIRE k 100000|SCAN 0 TYPE string|SCAN 0 COUNT 100|OBJECT REFCOUNT k|COPY k c|RENAME k r|MOVE k 1
SETRANGE k -1 v|SETRANGE k x v|GETRANGE k x 1|GETBIT k -1|SETBIT k 0 2|INCRBY k x|GETEX k EX 0
SETEX k 100000 v|PSETEX k 100000000 v|MSET k v|SET k v|SET k v KEEPTTL|DEL k|UNLINK k
""".strip().replace("\n", "|")


@pytest.mark.parametrize("maker", MAKERS)
def test_commands_on_other_types(both: Both, maker: str) -> None:
    """Where the type exists, every command refuses it or not as Redis does."""
    known = not both.client().subject.command("COMMAND", "INFO", maker).node.items[0].null
    if not known:
        reply = both.run(*MAKERS[maker], match=anything)
        assert reply.data.startswith(f"ERR unknown command '{maker.upper()}'".encode())
        return
    for use in USES.split("|"):
        both.run_many([("FLUSHALL",), ("SET", "s", "text"), MAKERS[maker]])
        both.script(f"{use}\nTYPE k\nTYPE d\nEXISTS k d c r\nTTL k")
