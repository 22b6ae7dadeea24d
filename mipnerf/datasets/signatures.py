"""What a file is that is no image, by how it begins: for messages."""

# The first bytes, or those after the four of a length, and what such a file is called; the longer ones first.
STARTS = [
    (b"version https://git-lfs", "a pointer of Git LFS, whose file was not fetched (git lfs pull)"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG file"),
    (b"\xff\xd8", "a JPEG file"),
    (b"II*\0", "a TIFF file"),
    (b"MM\0*", "a TIFF file"),
    (b"GIF8", "a GIF file"),
    (b"BM", "a BMP file"),
    (b"\xff\x0a", "a JPEG XL file"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL file"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 file"),
    (b"v/1\x01", "an OpenEXR file"),
    (b"#?RADIANCE", "a Radiance HDR file"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska video"),
    (b"<!DOCTYPE", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"\x93NUMPY", "a NumPy array"),
]
# The brand of files in ISO's container, after `ftyp`.
BRANDS = [
    ((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "a HEIC file, as phones write them"),
    ((b"avif", b"avis"), "an AVIF file"),
    ((b"crx ",), "a raw photograph (CR3)"),
]
TEXT_BYTES = 512  # that are looked at


def describe(data: bytes) -> str:
    """`a PDF document`, `an empty file`, `a text`: what the content `data` of a file is, or how many bytes it has."""
    if not data:
        return "an empty file"
    if data[4:8] == b"ftyp":
        return next((name for brands, name in BRANDS if data[8:12] in brands), "a video (MP4 or MOV)")
    if data[:4] == b"RIFF":
        return "a WebP file" if data[8:12] == b"WEBP" else "a RIFF file, such as a video (AVI) or a sound"
    for start, name in STARTS:
        if data.startswith(start):
            return name
    return "a text" if is_text(data[:TEXT_BYTES]) else f"{len(data)} bytes of no known kind"


def is_text(data: bytes) -> bool:
    """Whether `data` are characters of UTF-8, of which the last may be cut off."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 3:
            return False
        text = data[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)
