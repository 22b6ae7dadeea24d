"""Files within the page: each once, as text that the browser decodes when it is looked at."""

import base64
import hashlib
from dataclasses import dataclass, field

TYPES = {".png": "image/png", ".svg": "image/svg+xml", ".mp4": "video/mp4"}


@dataclass(frozen=True)
class Embedded:
    """A file: the `name` of its element, its media type and its content in base64."""

    name: str
    media_type: str
    text: str


@dataclass
class Files:
    """All files of a page, by their content."""

    by_content: dict[str, Embedded] = field(default_factory=dict)

    def add(self, content: bytes, media_type: str = "image/png") -> str:
        """The name of the element that has `content`."""
        key = f"{media_type} {hashlib.sha256(content).hexdigest()}"
        if key not in self.by_content:
            text = base64.b64encode(content).decode()
            self.by_content[key] = Embedded(f"file-{len(self.by_content)}", media_type, text)
        return self.by_content[key].name

    @property
    def all(self) -> list[Embedded]:
        """In the order in which they came."""
        return list(self.by_content.values())


def data_uri(content: bytes, media_type: str) -> str:
    """`content` as a URL that holds it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
