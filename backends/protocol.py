"""The worker protocol: JSON lines, commands to the worker's standard input and messages from its standard output.

| command | fields | answered by |
|---|---|---|
| `load` | `configuration` | `phase`…, then `loaded`; again with another batch or dims it keeps what is loaded |
| `run` | `run`, `seed`, `gc` | `started`; requests go to the ring at once, as warm-up, in the load of the configuration |
| `window` | `run`, `rate` (requests/s, null: one after another), `requests` | `window`, then `windowed` after the last; only in an open loop |
| `measure` | `run`, `duration` (ns or null), `requests` (or null), `rate` (null: that of the load) | `measuring`; the statistics begin at its `t` |
| `stop` | `run` | `stopped`; nothing where that run had ended |
| `park` | | `parked`: idle, with everything loaded |
| `quit` | | the end of the process |

| message | fields |
|---|---|
| `hello` | `pid`, `python`, `version` of the protocol |
| `phase` | `phase`, `t` (monotonic ns) |
| `loaded` | a `Loaded`, `cold_start` (seconds; null for what did not happen), `agreement` and `control` (null where not asked for); |
| | on a GPU also `link`, `bytes_in`, `bytes_out`, `gpu` (`uuid` as NVML writes it, and `slice`, the MIG slice's or null) |
| `started`, `window` | `run`, `t` |
| `measuring` | `run`, `t`, `fallback`: what the warm-up showed to run otherwise than asked, or null |
| `windowed` | `run`, `t` of the last completion; the window's requests are in the ring |
| `stopped` | `run`, `t` of the last completion, `reason` (`duration`, `requests`, `stop`), `unserved`: arrivals given up, |
| | `runtime`: news of it, `fallback` as above |
| `parked` | |
| `error` | `kind`, `message`, `fix`, `detail`; `alive`: whether the worker can take another `load` |
"""

from __future__ import annotations

import json
from typing import Any

VERSION = 1

Message = dict[str, Any]


def encode(message: Message) -> bytes:
    """One line. NaN has no place in JSON and is refused."""
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


class Lines:
    """Whole messages out of a stream of bytes that arrives in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises ValueError on a line that is no JSON object."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        messages = [json.loads(line) for line in lines if line.strip()]
        for message in messages:
            if not isinstance(message, dict):
                raise ValueError(f"not a message: {message!r:.80}")
        return messages
