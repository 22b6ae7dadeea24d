"""Every hyper-parameter, typed and strict; from YAML to runs. Free of torch."""

from mipnerf.config.parameters import (
    EVALUATION_KEYS,
    PHOTO_KEYS,
    SEED_SUFFIX,
    DataConfig,
    DatasetConfig,
    DownloadConfig,
    ModelConfig,
    OperationConfig,
    Overrides,
    RunConfig,
    RunsConfig,
    SuiteConfig,
    TrainConfig,
    TrainOverrides,
    Verify,
    parse_config,
)

__all__ = [
    "EVALUATION_KEYS",
    "PHOTO_KEYS",
    "SEED_SUFFIX",
    "DataConfig",
    "DatasetConfig",
    "DownloadConfig",
    "ModelConfig",
    "OperationConfig",
    "Overrides",
    "RunConfig",
    "RunsConfig",
    "SuiteConfig",
    "TrainConfig",
    "TrainOverrides",
    "Verify",
    "parse_config",
]
