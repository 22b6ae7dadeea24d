from pathlib import PurePosixPath

from mipnerf.datasets.layouts import is_read, scenes_of_file


def test_the_scene_of_a_marker_is_its_folder():
    expected = {
        "transforms.json": ".",
        "a/desk/transforms.json": "a/desk",
        "desk/sparse/0/cameras.bin": "desk",
        "desk/sparse/cameras.txt": "desk",
        "desk/colmap/sparse/0/cameras.bin": "desk desk/colmap",
        "sparse/0/cameras.txt": ".",
        "desk/sparse/1/cameras.bin": "desk",
        "desk/dense/0/sparse/cameras.bin": "desk desk/dense/0",
        "desk/dense/sparse/cameras.txt": "desk desk/dense",
        "desk/distorted/sparse/0/cameras.bin": "desk desk/distorted",
        "desk/models/1/cameras.bin": "",
        "desk/my_transforms.json": "",
    }
    for name, folders in expected.items():
        assert scenes_of_file(name) == [PurePosixPath(folder) for folder in folders.split()], name


def test_cameras_images_and_masks_are_read():
    names = ["transforms_train.json", "poses_bounds.npy", "sparse/0/points3D.bin", "colmap/sparse/0/rigs.txt"]
    names += ["train/r_0.png", "images_4/IMG_1.JPG", "masks/0.jpeg"]
    assert [name for name in names if not is_read(name)] == []


def test_notes_litter_and_hidden_files_are_not_read():
    names = [
        "README.txt",
        "Thumbs.db",
        ".DS_Store",
        "train/._r_0.png",
        "__MACOSX/r_0.png",
        ".git/a.png",
        "images/.a.png",
    ]
    names += ["manifest.json", "sparse/0/project.ini", "sparse/0/points.txt", "images/video.txt", "depths.npy"]
    assert [name for name in names if is_read(name)] == []
