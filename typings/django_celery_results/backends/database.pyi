from typing import Any

from celery.backends.base import BaseBackend

class DatabaseBackend(BaseBackend):
    def encode_content(self, data: Any) -> tuple[str, str, str]: ...
