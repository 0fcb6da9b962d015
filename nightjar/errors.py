"""The exception tree. Each branch tells the user how to react.

::

    NightjarError                  exit code 1
    |-- InputError                 exit code 2: fix the input
    |   |-- ConfigError            pipeline_config.yaml or an override
    |   |-- SourceError            a source file, glob or its content
    |   |-- VocabularyError        the corpus leaves too few words to train on
    |   |-- ModelTooLarge          a model needs more memory or disk than is available
    |   |-- ClusterUnfit           a cluster's workers lack the code or the storage
    |   |-- EncoderError           an encoder cannot be loaded, or returns unusable vectors
    |   |-- BenchmarkError         an evaluation set is malformed, or no item is covered
    |   |-- PromotionRefused       a command on a model that cannot be carried out
    |   |-- ForeignModel           a registered model that another ledger owns
    |   `-- UnknownTokenError      a lookup of a word that the model does not have
    |-- StoreError                 exit code 1: repair the artifact store
    |   |-- ArtifactMissing        nothing is published under that version
    |   |-- ArtifactDamaged        a published artifact does not match its manifest
    |   |-- LedgerDamaged          an event of the ledger is missing or was changed
    |   |-- ModelFilesDamaged      the files of a registered version are damaged
    |   `-- StoreNotWritable       no permission, or no space left
    |-- RetryLater                 exit code 1: the same command may work later
    |   |-- RegistryUnavailable    MLflow cannot be reached
    |   |-- LedgerBusy             another process has held the ledger for too long
    |   |-- HubUnavailable         an encoder's hub cannot be reached
    |   |-- OrchestratorUnavailable  Prefect cannot be reached or started
    |   |-- SourceUnavailable      the server of a source cannot be reached
    |   |-- SourceChanged          a source changed while it was read
    |   |-- WorkerLost             worker processes or machines died, or there are none
    |   `-- ClusterUnavailable     a cluster's scheduler does not answer, or it ended
    |-- LeaseTaken                 another run of this pipeline is under way
    |-- TrainingError              a model diverged; nothing of it is published
    `-- RecallTooLow               an approximate index misses too much; it is not published

Every message says what is wrong, where, and what to do. Only the command line turns these errors
into exit codes; nothing below it exits or prints.
"""

from __future__ import annotations


class NightjarError(Exception):
    """Base of all errors that Nightjar raises on purpose."""

    exit_code = 1


class InputError(NightjarError):
    """The user's input is wrong; the message says which part and how to fix it."""

    exit_code = 2


class ConfigError(InputError):
    """The configuration (file or override) is not valid."""


class SourceError(InputError):
    """A source cannot be found or read."""


class VocabularyError(InputError):
    """The corpus leaves too few words to train on."""


class ModelTooLarge(InputError):
    """A model needs more memory or disk than is available; it was not trained."""


class WalksTooLarge(InputError):
    """Walks need more memory or disk than is available; none was made."""


class ClusterUnfit(InputError):
    """A worker of a cluster runs other code, or does not see the artifacts."""


class EncoderError(InputError):
    """A text encoder cannot be loaded, or returns unusable vectors."""


class BenchmarkError(InputError):
    """An evaluation set is malformed, or none of its items is covered."""


class PromotionRefused(InputError):
    """A user's command on a model cannot be carried out."""


class StandingChanged(PromotionRefused):
    """A model got another champion or reference while a version of it was being judged."""


class ForeignModel(InputError):
    """A registered model belongs to the ledger of another pipeline directory."""


class UnknownTokenError(InputError):
    """A looked-up token has no vector."""


class StoreError(NightjarError):
    """The artifact store needs repair."""


class ArtifactMissing(StoreError):
    """No artifact is published under that stage and version."""


class ArtifactDamaged(StoreError):
    """A published artifact does not match its manifest."""


class LedgerDamaged(StoreError):
    """An event of the ledger is missing, cannot be read or was changed."""


class ModelFilesDamaged(StoreError):
    """The files of a registered version differ from those that were registered."""


class StoreNotWritable(StoreError):
    """The artifact directory cannot be written: permission or space."""


class RetryLater(NightjarError):
    """Something external is unavailable; the same command may work later."""


class RegistryUnavailable(RetryLater):
    """The MLflow tracking server or database cannot be reached."""


class LedgerBusy(RetryLater):
    """Another process has been writing the ledger for too long."""


class HubUnavailable(RetryLater):
    """The hub that an encoder comes from cannot be reached."""


class OrchestratorUnavailable(RetryLater):
    """The Prefect server cannot be reached, or the embedded one did not start."""


class SourceUnavailable(RetryLater):
    """The server of a source cannot be reached, or keeps breaking off."""


class SourceChanged(RetryLater):
    """A source file changed between planning and reading."""


class WorkerLost(RetryLater):
    """Worker processes or machines kept dying without a result, or none is left."""


class ClusterUnavailable(RetryLater):
    """A cluster's scheduler does not answer or ended during work, or its workers do not start."""


class LeaseTaken(NightjarError):
    """Another run of the same pipeline is under way."""


class TrainingError(NightjarError):
    """A model diverged (NaN or infinite values); nothing of it was published."""


class RecallTooLow(NightjarError):
    """An approximate index finds too few of the true neighbours; it was not published."""
