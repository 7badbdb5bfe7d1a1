"""INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT: ranges, formats, overflow."""

from __future__ import annotations

from tests.support.both import Both
from tests.support.script import values

INTEGERS = values(
    "0 1 -1 10 007 +5 -0 -00 1.0 1e5 abc 0x10 9223372036854775807 9223372036854775806 "
    "-9223372036854775808 -9223372036854775807 9223372036854775808 -9223372036854775809 "
    "18446744073709551615 99999999999999999999 00000000000000000000000000001 1_000 "
)
ODD = ["", " ", " 1", "1 ", "1\n", "\t1", "1\x00", "--1", "+", "-", "1,5", "inf", "nan", "Infinity"]
FLOATS = values(
    "0 -0 0.0 1 1.5 -1.5 3.0e3 5e-324 1e-20 1e17 1e18 1e20 1e300 1e308 1.7976931348623157e308 "
    "1e309 1e4932 1e5000 -1e5000 0.1 0.2 0.3 0.7 1.1 2.2 3.14159265358979323846 10.50 100.000 "
    "1234567890123456789 0.000001 0.0000000001 123456.789e-3 .5 5. 0x1p3 0xA inf -inf +inf "
    "infinity nan -nan 1e 1e+ e5 1.2.3 1,5 9007199254740993 4.94065645841246544e-324 "
    "99999999999999999.5 17179869184.25 0.333333333333333333333 1e-5000"
)


def test_incr_family_on_every_kind_of_stored_value(both: Both) -> None:
    """A stored value is a number only in its shortest decimal form within 64 bits."""
    commands: list[tuple[str, ...]] = []
    for value in [*INTEGERS, *ODD]:
        for change in (("INCR", "k"), ("DECR", "k"), ("INCRBY", "k", "7"), ("DECRBY", "k", "-7")):
            commands += [("SET", "k", value), change, ("GET", "k"), ("OBJECT", "ENCODING", "k")]
    both.run_many(commands)


def test_incrby_with_every_kind_of_argument(both: Both) -> None:
    """An increment follows the same rule, and an overflow leaves the value alone."""
    commands: list[tuple[str, ...]] = []
    for start in ("0", "1", "-1", "9223372036854775807", "-9223372036854775808"):
        for step in [*INTEGERS, *ODD]:
            commands += [("SET", "k", start), ("INCRBY", "k", step), ("GET", "k")]
            commands += [("SET", "k", start), ("DECRBY", "k", step), ("GET", "k")]
    both.run_many(commands)


def test_counters_start_at_zero_and_keep_deadlines(both: Both) -> None:
    """A missing key counts from zero; an existing deadline stays."""
    both.script("""
        INCR a
        DECR b
        INCRBY c 5
        DECRBY d 5
        INCRBYFLOAT e 1.5
        SETEX f 1000000 10
        INCR f
        TTL f
        INCRBYFLOAT f 0.5
        TTL f
        GET f
        INCR f
        SET g 10
        APPEND g 5
        INCR g
        OBJECT ENCODING g
        SETRANGE g 0 9
        INCR g
        INCR
        INCR a b
        DECR
        INCRBY a
        INCRBY a 1 2
        DECRBY a
        INCRBYFLOAT a
        INCRBYFLOAT a 1 2
        PEXPIREAT f 1
        INCR f
        TTL f
    """)


def test_incrbyfloat_formats(both: Both) -> None:
    """INCRBYFLOAT writes 17 digits after the point without trailing zeroes or exponent."""
    commands: list[tuple[str, ...]] = []
    for start in ("0", "1", "10.5", "-3.0e3", "1e17", "0.1", "123456789012345678"):
        for step in FLOATS:
            commands += [("SET", "k", start), ("INCRBYFLOAT", "k", step), ("GET", "k")]
    both.run_many(commands)


def test_incrbyfloat_on_every_kind_of_stored_value(both: Both) -> None:
    """What is stored must read as a float, without blanks."""
    commands: list[tuple[str, ...]] = []
    for value in [*INTEGERS, *ODD, *FLOATS]:
        commands += [("SET", "k", value), ("INCRBYFLOAT", "k", "0.25"), ("GET", "k")]
        commands += [("INCRBYFLOAT", "k", "-0.25"), ("STRLEN", "k"), ("INCR", "k")]
    both.run_many(commands)


def test_many_small_float_steps(both: Both) -> None:
    """Rounding errors accumulate in the same way."""
    both.run_many([("INCRBYFLOAT", "k", step) for step in ("0.1", "0.2", "-0.7", "1e-9") * 60])


def test_integer_encoding_of_values(both: Both) -> None:
    """OBJECT ENCODING tells integers, short strings and long strings apart."""
    commands: list[tuple[str, ...]] = []
    for value in [*INTEGERS, *ODD, *FLOATS, "a" * 44, "a" * 45, "1" * 20, "1" * 19]:
        commands += [
            ("SET", "k", value),
            ("OBJECT", "ENCODING", "k"),
            ("STRLEN", "k"),
            ("GET", "k"),
        ]
        commands += [("GETSET", "k", value), ("OBJECT", "ENCODING", "k")]
        commands += [("MSET", "k", value), ("OBJECT", "ENCODING", "k")]
        commands += [("SETNX", "n" + value, value), ("OBJECT", "ENCODING", "n" + value)]
        commands += [("DEL", "k"), ("APPEND", "k", value), ("OBJECT", "ENCODING", "k")]
        commands += [("APPEND", "k", "0"), ("OBJECT", "ENCODING", "k"), ("DEL", "k")]
        commands += [("SETRANGE", "k", "0", value), ("OBJECT", "ENCODING", "k")]
        commands += [("COPY", "k", "copied"), ("OBJECT", "ENCODING", "copied")]
        commands += [("DEL", "copied")]
    both.run_many(commands)
