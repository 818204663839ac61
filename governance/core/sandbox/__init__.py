"""Walls around tools, each named with what it keeps out. A wall that was asked for and is missing is an error.

`FilesystemSandbox` looks at arguments: a first net against paths outside. `SubprocessSandbox` runs each call in a
process of its own with an empty environment, limits and an end. `Bubblewrap` puts such a process, or any command, into
a box without network, without other files and without other processes.
"""
