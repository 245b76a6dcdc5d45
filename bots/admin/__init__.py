"""The admin of bots and of Reddit apps."""

from bots.admin import bots, reddit_apps  # noqa: F401 - each registers its model
