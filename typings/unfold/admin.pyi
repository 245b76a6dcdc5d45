from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.dataclasses import UnfoldAction

class ModelAdmin(admin.ModelAdmin[Any]):
    actions_submit_line: list[str]
    list_filter_submit: bool
    def get_actions_submit_line(
        self, request: HttpRequest, object_id: int | str
    ) -> list[UnfoldAction]: ...

class StackedInline(admin.StackedInline[Any, Any]): ...

class TabularInline(admin.TabularInline[Any, Any]):
    per_page: int | None
