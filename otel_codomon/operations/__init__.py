"""What a user can ask for: each operation is a function that returns a frozen dataclass.

The command line prints what they return, the MCP server hands it on; neither
has any logic of its own.
"""
