"""CONFIG REWRITE: put changed settings back into the file that they were read from."""

import contextlib
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import tomli

from ferrite_py.config import CATALOGUE, Config, combine, with_values
from ferrite_py.config_sources import (
    BYTE_ORDER_MARK,
    Setting,
    assignments_of,
    parse_assignment,
    read_environment,
)
from ferrite_py.config_tables import Table, has_variable
from ferrite_py.config_toml import set_value
from ferrite_py.errors import ConfigError


def rewrite(
    path: Path, config: Config, changed: Collection[str], environ: Mapping[str, str]
) -> None:
    """Write the settings named in `changed` to the file, which keeps all else that it says.

    Comments, order and spelling stay; a value that the file gives already is not touched, and one
    that it leaves out is added only if it is not the default. Of a file that is gone nothing is
    known any more: the new one has all settings that are not at their default, so that the next
    start finds the server as it runs, but for those that the environment gives it again and for
    headers, in which `${NAME}` of the old file may have been replaced by a secret. The file is
    replaced at once: a crash leaves the old one or the new one. Raises ConfigError if the file
    cannot be read or written, or would not give a value back.
    """
    try:
        is_gone = not path.exists()
        text = "" if is_gone else path.read_bytes().decode("utf-8")
        before = text.removeprefix(BYTE_ORDER_MARK)
        if is_gone:
            config, changed = _of_a_new_file(config, changed, environ)
        after = rewritten(before, str(path), config, changed)
        if after != before:
            mark = text.removesuffix(before)
            _replace_file(Path(os.path.realpath(path)), f"{mark}{after}".encode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the file is not valid UTF-8") from error
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _of_a_new_file(
    config: Config, changed: Collection[str], environ: Mapping[str, str]
) -> tuple[Config, Collection[str]]:
    """What is to stand in a file that is made anew, and the names of those settings."""
    given = {known.name: known.default for known in CATALOGUE.settings}
    for one in read_environment(environ, CATALOGUE, []):
        given[one.setting.name] = parse_assignment(one, given[one.setting.name])
    values: dict[str, object] = {}
    for known in CATALOGUE.settings:
        value = config.value(known.name)
        if isinstance(known.kind, Table):
            if known.secret and known.name not in changed:
                continue
            value = tuple(item for item in value if item not in given[known.name])
        if value != given[known.name]:
            values[known.name] = value
    return with_values(config, values), values.keys()


def rewritten(text: str, name: str, config: Config, changed: Collection[str]) -> str:
    """The new text of a configuration file; see `rewrite`. `name` is the file's, for messages."""
    in_file = _config_of(text, name)
    settings = [
        setting
        for setting in CATALOGUE.settings
        if setting.name in changed and config.value(setting.name) != in_file.value(setting.name)
    ]
    for setting in settings:
        _refuse_variables(setting, config.value(setting.name))
        value = setting.kind.toml_format(config.value(setting.name))
        text = set_value(text, _section_in(text, setting), setting.key, value)
    now_in_file = _config_of(text, name)
    for setting in settings:
        assert now_in_file.value(setting.name) == config.value(setting.name), setting.name
    return text


def _refuse_variables(setting: Setting, value: object) -> None:
    """A text that a variable or a flag gave means itself there, and something else in a file."""
    if isinstance(setting.kind, Table) and isinstance(value, tuple):
        for name, text in value:
            if has_variable(text):
                message = f"{setting.name}: {name} has ${{...}} in it"
                raise ConfigError(f"{message}, which a file cannot say: it names a variable there")


def _section_in(text: str, setting: Setting) -> str:
    """The name of the setting's section in the file: its other one, if only that is there."""
    document = tomli.loads(text)
    others = [other for other, name in CATALOGUE.aliases.items() if name == setting.section]
    given = [other for other in others if setting.key in document.get(other, {})]
    given += [other for other in others if other in document and setting.section not in document]
    return given[0] if given else setting.section


def _config_of(text: str, name: str) -> Config:
    errors: list[ConfigError] = []
    return combine(assignments_of(text, name, CATALOGUE, errors), errors).config


def _replace_file(path: Path, content: bytes) -> None:
    """Replace a file by a synced new one of the same owner and mode."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            _copy_owner_and_mode(path, file.fileno())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _copy_owner_and_mode(path: Path, descriptor: int) -> None:
    """A new file has mode 0600, which is right for one that may hold a password."""
    if path.exists():
        status = path.stat()
        # Only root may give a file away; for anyone else it keeps the server's own user.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, status.st_mode & 0o7777)
