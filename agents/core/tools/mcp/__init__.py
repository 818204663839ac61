"""Tools of MCP servers, over stdio and Streamable HTTP.

`spec` says where a server is, `client` talks to one, `registry` offers the tools of many as one `ToolHost`. Connections
live on a thread of their own (`owner`), so they outlast the task, the run and even the event loop that first needed
them, and connect and close never happen in different tasks.
"""
