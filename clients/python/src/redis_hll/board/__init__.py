"""The live board: a page and an API over the cubes of a server, as a program (`redis-hll board`) and as an ASGI application."""

from .app import create
from .config import BoardSettings, CubeSettings, SketchSettings
from .hub import Hub

__all__ = ["BoardSettings", "CubeSettings", "Hub", "SketchSettings", "create"]
