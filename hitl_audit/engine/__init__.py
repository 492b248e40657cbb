"""Where row-scale work runs: in this process, in local workers, or on Spark.

One small protocol, :meth:`Engine.map_merge`, with two engines behind it. What a part is
and what is computed of it are other modules' business.
"""

from hitl_audit.engine.local import LocalEngine
from hitl_audit.engine.opening import open_engine
from hitl_audit.engine.protocol import Engine, NamedPart, PartFunction, PartsDone
from hitl_audit.engine.spark import SparkEngine
from hitl_audit.engine.store import PartStore

__all__ = [
    "Engine",
    "LocalEngine",
    "NamedPart",
    "PartFunction",
    "PartStore",
    "PartsDone",
    "SparkEngine",
    "open_engine",
]
