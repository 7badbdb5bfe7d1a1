"""The TLS context of the server, made from `[tls]`; its files can be renewed while it runs."""

import logging
import ssl
from collections.abc import Callable

from ferrite_py.config import TlsConfig
from ferrite_py.errors import StartupError

log = logging.getLogger(__name__)

_VERIFY = {"no": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "yes": ssl.CERT_REQUIRED}


def make_context(config: TlsConfig) -> ssl.SSLContext:
    """Load the certificates; TLS 1.2 and newer. Raises StartupError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    for key in ("cert_file", "key_file", "ca_file"):
        _check_readable(key, getattr(config, key))
    try:
        # An empty password, or OpenSSL would ask for that of an encrypted key on the terminal.
        context.load_cert_chain(config.cert_file, config.key_file, password="")
    except OSError as error:
        files = f"{config.cert_file} and {config.key_file}"
        raise StartupError(f"tls.cert_file, tls.key_file: {files}: {_reason(error)}") from error
    if config.ca_file:
        try:
            context.load_verify_locations(config.ca_file)
        except OSError as error:
            raise StartupError(f"tls.ca_file: {config.ca_file}: {_reason(error)}") from error
    context.verify_mode = _VERIFY[config.client_auth]
    return context


class Certificates:
    """The context of new connections; those that there are keep the one they began with."""

    def __init__(self, config: TlsConfig) -> None:
        """Load the certificates. Raises StartupError."""
        self._context = make_context(config)

    @property
    def context(self) -> ssl.SSLContext:
        """What a connection that comes now is to use."""
        return self._context

    def prepare(self, config: TlsConfig) -> Callable[[], None]:
        """Read the files anew; what is returned puts them in force. Raises StartupError."""
        context = make_context(config)

        def put() -> None:
            self._context = context
            log.info("new TLS connections are shown %s", config.cert_file)

        return put


def _check_readable(key: str, path: str) -> None:
    """OpenSSL does not say which of the files is missing, so look before."""
    if not path:
        return
    try:
        with open(path, "rb"):  # noqa: PTH123 - nothing is done with it
            pass
    except OSError as error:
        raise StartupError(f"tls.{key}: cannot read {path}: {error.strerror}") from error


def _reason(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    detail = f" ({error.reason.lower().replace('_', ' ')})" if error.reason else ""
    return f"not usable as PEM{detail}"
