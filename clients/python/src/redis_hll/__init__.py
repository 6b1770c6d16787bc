"""Sketches and cubes of the redis-hll module, from Python.

    import redis
    from redis_hll import HLL

    hll = HLL(redis.Redis())
    hll.add("visitors", "ada", "grace")
    print(hll.estimate("visitors"))            # 2 (exact)

`HLL` is for clients that wait, `AsyncHLL` for those that are awaited, each of redis-py or valkey-py, of a server or a cluster.
"""

from .batches import Event
from .commands.cube import Dimension, Group, Not, Tier
from .errors import (AheadOfClock, BadArgument, BadPayload, BatchError, Busy, ClusterDown, CommandMissing, CrossSlot, Full, HLLError, Incompatible,
                     KeyExists, KeyMissing, NoGroup, NotAllowed, PFKeyReadOnly, ReplyError, TooLate, TooManyCells, WrongType)
from .results import (Accuracy, AccuracyReport, Advice, Alert, Answer, CampaignReport, Change, Cohort, CohortPeriod, ColumnInfo, ContextReport,
                      Counted, CubeCampaign, CubeCohort, CubeCount, CubeFunnel, CubeInfo, CubePeriod, Estimate, FunnelStep, Intersection,
                      Interval, LifecycleRow, Overlap, QueryResult, Recommendation, Row, Rows, Segment, Sent, SketchInfo, Stats, TierInfo,
                      Tracked, Trend)
from .shells import HLL, AsyncCluster, AsyncCube, AsyncHLL, AsyncMonitor, AsyncPipeline, AsyncWriter, Cluster, Cube, Later, Monitor, Pipeline, Writer

__version__ = "0.1.0"

__all__ = [
    "HLL", "Accuracy", "AccuracyReport", "Advice", "AheadOfClock", "Alert", "Answer", "AsyncCluster", "AsyncCube", "AsyncHLL",
    "AsyncMonitor", "AsyncPipeline", "AsyncWriter", "BadArgument", "BadPayload", "BatchError", "Busy", "CampaignReport", "Change",
    "Cluster", "ClusterDown", "Cohort", "CohortPeriod", "ColumnInfo", "CommandMissing", "ContextReport", "Counted", "CrossSlot", "Cube",
    "CubeCampaign", "CubeCohort", "CubeCount", "CubeFunnel", "CubeInfo", "CubePeriod", "Dimension", "Estimate", "Event", "Full",
    "FunnelStep", "Group", "HLLError", "Incompatible", "Intersection", "Interval", "KeyExists", "KeyMissing", "Later", "LifecycleRow",
    "Monitor", "NoGroup", "Not", "NotAllowed", "Overlap", "PFKeyReadOnly", "Pipeline", "QueryResult", "Recommendation", "ReplyError", "Row",
    "Rows", "Segment", "Sent", "SketchInfo", "Stats", "Tier", "TierInfo", "TooLate", "TooManyCells", "Tracked", "Trend", "Writer",
    "WrongType", "__version__",
]
