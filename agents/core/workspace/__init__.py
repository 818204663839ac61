"""Notes that agents leave for themselves and for each other: findings, questions, decisions, plans.

A workspace keeps them by user; `InMemoryWorkspace` and `LocalDiskWorkspace` are two shelves under one set of rules
(`shelf.ShelfWorkspace`). `tools` is what a model gets of it.
"""
