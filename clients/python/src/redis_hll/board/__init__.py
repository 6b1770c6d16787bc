"""The live board: a page and an API over the cubes of a server. `app.create` makes the ASGI application."""
