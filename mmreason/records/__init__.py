"""The nouns that everything speaks."""

from mmreason.records.rollout import Rollout, Segment, SegmentKind, Stop
from mmreason.records.sample import Answer, AnswerKind, MediaRef, Message, Part, Role, Sample, Source
from mmreason.records.verdict import Outcome, Unread, Verdict

__all__ = [
    "Answer",
    "AnswerKind",
    "MediaRef",
    "Message",
    "Outcome",
    "Part",
    "Role",
    "Rollout",
    "Sample",
    "Segment",
    "SegmentKind",
    "Source",
    "Stop",
    "Unread",
    "Verdict",
]
