"""What agents can do: functions as tools, hosts that call them, built-in tools, MCP servers.

Start with `tool.py` (`@tool`, `Tool`) and `host.py` (`InProcessToolHost`); `base.py` is what the loop needs of a host.
Nothing is imported here: the built-in tools and MCP cost time that not every program wants to spend.
"""
