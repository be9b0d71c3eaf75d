"""Bounded downloads from foreign providers, which cannot reach private networks.

Blocking, for use in a thread: `Downloader.open(url)` gives a `Body` whose bytes are read with
`readinto`; `recognise` says what they are, and `EndProof` whether a body whose framing has no end
is complete all the same.
"""

from worker.download.body import Body
from worker.download.completeness import EndProof
from worker.download.content import Content, Role, identify, needed_prefix, recognise
from worker.download.fetch import Downloader
from worker.download.gate import HostGate
from worker.download.policy import DownloadPolicy

__all__ = [
    "Body",
    "Content",
    "DownloadPolicy",
    "Downloader",
    "EndProof",
    "HostGate",
    "Role",
    "identify",
    "needed_prefix",
    "recognise",
]
