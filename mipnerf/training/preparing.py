"""What a training has to compile is compiled while its images are still being decoded."""

import logging
import os
from collections.abc import Callable
from threading import Thread

from mipnerf.config import OperationConfig, RunConfig
from mipnerf.datasets.made_up import made_up_scene
from mipnerf.datasets.scene import Scene
from mipnerf.devices import resolve_device
from mipnerf.network.choice import candidates
from mipnerf.training.stepping import Stepper

log = logging.getLogger(__name__)


def compiling_meanwhile(run: RunConfig, operation: OperationConfig, load: Callable[[], Scene]) -> Scene:
    """What `load` gives, while a thread compiles whatever the training may take.

    It stays in this process, and in the cache of kernels. Nothing is done where nothing has to be compiled, or where
    several processes train, which have yet to find their GPUs.
    """
    is_alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if not is_alone or candidates(run.model, operation, resolve_device(operation.device)) == ["plain"]:
        return load()
    thread = Thread(target=_compile, args=(run, operation), name="compile", daemon=True)
    thread.start()
    scene = load()
    thread.join()
    return scene


def _compile(run: RunConfig, operation: OperationConfig) -> None:
    try:
        stepper = Stepper.create(run, operation, made_up_scene(), threads=1)
        stepper.trial_seconds = 0.0
        stepper.step = 1
        stepper.take_step(0.0)
    except Exception as error:  # which the training meets as well, and tells what to do
        log.debug("nothing was compiled in advance: %s", error)
