"""Pictures, galleries and videos, as posts describe them."""

from typing import Any

from .model import Post

_WIDTHS = (108, 216, 320, 640)


def signed(name: str, width: int, seed: int) -> str:
    """Return the address of a picture at one width."""
    # Any digits that look like a signature and differ from item to item will do.
    mark = (seed * 0x9E3779B97F4A7C15F39CC0605CEDC835 + width) % 2**160
    return f"https://preview.redd.it/{name}.jpg?width={width}&crop=smart&auto=webp&s={mark:040x}"


def preview(post: Post, media: str) -> dict[str, Any]:
    """Return the thumbnails of a picture or of a linked page."""
    resolutions = [
        {"url": signed(media, width, post.seed), "width": width, "height": width * 9 // 16}
        for width in _WIDTHS
    ]
    source = {"url": signed(media, 1280, post.seed), "width": 1280, "height": 720}
    image = {"source": source, "resolutions": resolutions, "variants": {}, "id": media * 2}
    return {"images": [image], "enabled": post.style == "image"}


def gallery(post: Post, media: str) -> dict[str, Any]:
    """Return the fields that only gallery posts have."""
    count = 2 + post.seed % 4
    names = [f"{media}{position}" for position in range(count)]
    return {
        "is_gallery": True,
        "gallery_data": {
            "items": [
                {"media_id": name, "id": post.number % 10**9 + position}
                for position, name in enumerate(names)
            ]
        },
        "media_metadata": {
            name: {
                "status": "valid",
                "e": "Image",
                "m": "image/jpg",
                "p": [
                    {"y": width, "x": width, "u": signed(name, width, post.seed)}
                    for width in _WIDTHS
                ],
                "s": {"y": 2160, "x": 2160, "u": signed(name, 2160, post.seed)},
                "id": name,
            }
            for name in names
        },
    }


def video(media: str) -> dict[str, Any]:
    """Return the media of a hosted video."""
    return {
        "reddit_video": {
            "bitrate_kbps": 2400,
            "fallback_url": f"https://v.redd.it/{media}/CMAF_720.mp4?source=fallback",
            "has_audio": True,
            "height": 720,
            "width": 1280,
            "scrubber_media_url": f"https://v.redd.it/{media}/CMAF_96.mp4",
            "dash_url": f"https://v.redd.it/{media}/DASHPlaylist.mpd?a=1&v=1&f=sd",
            "duration": 12 + len(media),
            "hls_url": f"https://v.redd.it/{media}/HLSPlaylist.m3u8?a=1&v=1&f=sd",
            "is_gif": False,
            "transcoding_status": "completed",
        }
    }
