"""What Flower starts on the server's machine and on the clients'."""

from emtdamp.federated.app import client, server

__all__ = ["client", "server"]
