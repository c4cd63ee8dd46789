# The type checker's partial stubs of this library reject valid calls; everything in it is Any here.
from typing import Any

def __getattr__(name: str) -> Any: ...
