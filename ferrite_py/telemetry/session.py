"""The session of the exporters over HTTP: the collector's certificate is OpenTelemetry's to say."""

import os
from typing import Any

import requests

CREDENTIAL_PROVIDER = "_CREDENTIAL_PROVIDER"
"""How the variables end that name a plug-in which brings a session of its own."""


class OwnSession(requests.Session):
    """Takes its own `verify` where it names a file, and not REQUESTS_CA_BUNDLE instead."""

    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """The settings of one request."""
        own = self.verify if verify is None and isinstance(self.verify, str) else verify
        return super().merge_environment_settings(url, proxies, stream, own, cert)


def own_session() -> requests.Session | None:
    """A session for an exporter; None where a plug-in is to bring one.

    The SDK's environment is in force.
    """
    if any(name.endswith(CREDENTIAL_PROVIDER) for name in os.environ):
        return None
    return OwnSession()
