"""mip-NeRF (Barron et al., ICCV 2021) in PyTorch: what a notebook needs.

    trained = mipnerf.load_trained(Path("results/bricks/mipnerf/bricks/model.pt"), torch.device("cpu"))
    scene = mipnerf.load_scene(Path("data/bricks/bricks"), "test", trained.run.levels, trained.run.data)
    cameras = mipnerf.Cameras.from_scene(scene, "cpu", trained.run.data)
    picture = mipnerf.render_image(trained.model, cameras, 0, 128, 128, white_bkgd=True)

They are loaded where they are asked for, so that the command line answers at once.
"""

from mipnerf.faces import face

__version__ = "0.2.0"

_PLACES = {
    "load_trained": "evaluation.views",
    "load_scene": "datasets.load",
    "Cameras": "cameras",
    "render_image": "network.rendering",
    "MipNerf": "network.model",
    "compute_ssim": "evaluation.metrics",
    "mse_to_psnr": "evaluation.metrics",
    "compute_avg_error": "evaluation.metrics",
}
__all__ = ["__version__", *_PLACES]
__getattr__ = face(__name__, _PLACES)
