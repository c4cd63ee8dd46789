"""What single pages of the book show: a module a page, with its figures, tables and claims.

Each is a function of what the page computed or read, so that the page itself holds calls alone.
"""
