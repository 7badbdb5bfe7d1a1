"""The exceptions of the control plane: one root, a child for each way to react.

The text of every `FerriteError` is one line that an operator can act on, or one for each of several
things that are wrong; the command line prints it as it is, without a traceback.
"""

from collections.abc import Sequence


class FerriteError(Exception):
    """Something that the world caused: a bad file, a port in use, a refused request."""


class ConfigError(FerriteError):
    """The configuration cannot be used. The text names the place, the key and what is expected.

    `order` is the place as numbers, the layer and in a file the line, by which errors are listed.
    """

    def __init__(self, text: str, order: tuple[int, int] = (0, 0)) -> None:
        super().__init__(text)
        self.order = order


class ManyConfigError(ConfigError):
    """Several things are wrong with the configuration: a line for each."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = tuple(errors)

    @staticmethod
    def raise_any(errors: Sequence[ConfigError]) -> None:
        """Raise what there is: nothing, the one error, or all of them as one, in their order."""
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ManyConfigError(sorted(errors, key=lambda error: error.order))


class ParameterError(ConfigError):
    """CONFIG SET was refused. The text is Redis's error reply without its leading `ERR `."""


class StartupError(FerriteError):
    """The configuration is sound, but the machine does not let the server start with it."""
