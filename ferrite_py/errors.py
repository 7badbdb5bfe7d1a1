"""The exceptions of the control plane: one root, a child for each way to react.

The text of every `FerriteError` is one line that an operator can act on; the command line prints it
as it is, without a traceback.
"""


class FerriteError(Exception):
    """Something that the world caused: a bad file, a port in use, a refused request."""


class ConfigError(FerriteError):
    """The configuration cannot be used. The text names the place, the key and what is expected."""


class ParameterError(ConfigError):
    """CONFIG SET was refused. The text is Redis's error reply without its leading `ERR `."""


class StartupError(FerriteError):
    """The configuration is sound, but the machine does not let the server start with it."""
