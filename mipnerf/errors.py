"""The failures a user can cause. Each message says what, where, what is allowed and what to do."""


class MipNerfError(Exception):
    """Base of all errors that are reported as one message, without a traceback."""


class ConfigError(MipNerfError):
    """The configuration asks for something unknown, mistyped or impossible."""


class DataError(MipNerfError):
    """A dataset, archive or image is missing, damaged or contradicts itself."""


class WriteError(DataError):
    """Data cannot be put where they belong: no room, no permission; another source of them would not help."""


class CheckpointError(MipNerfError):
    """A checkpoint cannot be read, or belongs to another run."""


class TrainingDiverged(MipNerfError):
    """The loss or the weights are no longer finite."""


class PeerLost(MipNerfError):
    """Another process of the same training has ended."""


class Interrupted(MipNerfError):
    """A signal asked the process to stop; its work so far is saved."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number
