"""The session of the exporters over HTTP: the collector's certificate is OpenTelemetry's to say."""

import os
from typing import Any

import requests

CREDENTIAL_PROVIDER = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}CREDENTIAL_PROVIDER"
"""The variable that names a plug-in which brings a session of its own: of all signals or one."""


class OwnSession(requests.Session):
    """Takes its own `verify` where it names a file, and not REQUESTS_CA_BUNDLE instead."""

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """The settings of one request."""
        own = self.verify if verify is None and isinstance(self.verify, str) else verify
        return super().merge_environment_settings(url, proxies, stream, own, cert)


def own_session(signal: str) -> requests.Session | None:
    """A session for the exporter of a signal; None where a plug-in is to bring one.

    The SDK's environment is in force.
    """
    if any(os.environ.get(CREDENTIAL_PROVIDER.format(of)) for of in ("", f"{signal.upper()}_")):
        return None
    return OwnSession()
