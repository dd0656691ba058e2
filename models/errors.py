"""Every error that Streamgauge raises on purpose, in one tree."""


class StreamgaugeError(Exception):
    """Base of all errors; the message says what is wrong and what to do about it."""


class SettingsError(StreamgaugeError):
    """A setting is wrong: the message names the key, the value and what is allowed."""


class ClusterError(StreamgaugeError):
    """The local cluster, the Flink cluster or the broker does not do what is needed."""


class InputError(StreamgaugeError):
    """A file or an argument given on the command line cannot be used."""


class NotReadyError(StreamgaugeError):
    """A detector was asked for a score before it has learned enough; the message says what is missing."""


class StateError(StreamgaugeError):
    """Saved state cannot be read: another format, another detector, or damaged."""


class WidthError(StreamgaugeError):
    """An array has another number of features than the detector was built for."""


class ModelError(StreamgaugeError):
    """A trained model is missing, or must not be used: damaged, tampered with, unsigned, too new, or too large."""


class RegistryError(StreamgaugeError):
    """The schema registry is away or refuses us. No record is at fault, so the task fails, and Flink reads the records again."""
