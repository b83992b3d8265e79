"""The HTTP server: waitress with a bound on the requests under way, and an orderly end.

waitress reads requests in one thread and answers them in others. It queues without bound; here a request that finds
`limit` others under way is refused by the reading thread, at once and without waking another.

Under load that thread competes for Python's interpreter lock with those that score, and has a third of it at best. Most
requests are then refused, and parsing them would take more than that: they are refused unparsed, by their outline, and
with system calls that keep the lock.
"""

from __future__ import annotations

import ctypes
import json
import logging
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

_log = logging.getLogger(__name__)

#: Answered by a thread of its own, so that nobody takes busy for dead.
WATCHED = frozenset({"/health", "/ready", "/metrics"})
SWITCH_SECONDS = 0.0005  #: for which a thread keeps the interpreter lock while others want it
RECEIVE_SECONDS = 60  #: within which a whole request must have come in, and after which an idle connection is closed

_BUSY = json.dumps(
    {
        "type": "about:blank",
        "title": "Too busy",
        "status": 503,
        "detail": "Too many requests are under way; nothing of this one was scored. Try again",
        "errors": [],
    }
).encode()

#: The C library, called without giving the interpreter lock away: for calls that return at once, and for no others.
#: Python's own give it away, and while others score it takes `SWITCH_SECONDS` or more to get it back, for each call.
_libc = ctypes.PyDLL(None)

_REQUEST_LINE = re.compile(rb"(?!HEAD )[A-Z]+ (/(?!/)[^ ?#%\r\n]*)(?:\?[^ \r\n]*)? HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,10})[ \t]*\r\n")
#: Where one of these stands, in whatever place, waitress has to say what it means.
_INTRICATE = re.compile(rb"transfer-encoding|expect|close")


def outline(data: bytes) -> tuple[str, int] | None:
    """Path and length in bytes of the request that some bytes begin with, as far as they tell without doubt.

    Parameters
    ----------
    data : bytes
        At least the request's head; its body may be still to come.

    Returns
    -------
    (str, int) or None
        None when the head is not whole, or when it must be parsed to know where the request ends, what it asks for or
        whether another may follow.
    """
    line, end = _REQUEST_LINE.match(data), data.find(b"\r\n\r\n") + 4
    if line is None or end < 4:
        return None
    head = data[:end].lower()
    if _INTRICATE.search(head):
        return None
    body, lengths = 0, head.count(b"content-length")
    if lengths:
        length = _LENGTH.search(head)
        if length is None or lengths > 1:
            return None
        body = int(length[1])
    return line[1].decode("latin-1"), end + body


class _Task(WSGITask):
    wrote_header: bool

    def get_environment(self):
        environ = super().get_environment()
        environ["moderation.arrived"] = self.request.arrived
        return environ

    def build_response_header(self):
        if self.channel.server.stopping:
            self.set_close_on_finish()
        return super().build_response_header()

    def write(self, data):
        # In one piece: of a process that is killed, a proxy has the whole answer or nothing, and then it can ask
        # another. Once it has the head it can not.
        if data and self.complete and not self.wrote_header:
            self.channel.head = self.build_response_header()
            self.wrote_header = True
        super().write(data)
        self.channel.write_soon(b"")  # the head alone, where no body belongs to it


class _ErrorTask(ErrorTask):
    """Answers what is not HTTP; with the headers that every answer has."""

    def build_response_header(self):
        self.response_headers += self.channel.server.headers
        return super().build_response_header()


class _Channel(HTTPChannel):
    task_class = _Task
    error_task_class = _ErrorTask
    begun = None  # when the first byte of a request came that is not whole yet
    unread = 0  # bytes of a refused request that are still to come
    head = b""  # of an answer, to be sent with the beginning of its body

    def recv(self, buffer_size):
        into = self.server.received_bytes
        count = _libc.recv(self._fileno, into, min(buffer_size, len(into)), socket.MSG_DONTWAIT)
        # The end of the connection, and errors, come again, and are told apart there.
        return ctypes.string_at(into, count) if count > 0 else super().recv(buffer_size)

    def write_soon(self, data):
        if self.head:
            data, self.head = self.head + data, b""
        return super().write_soon(data)

    def received(self, data):
        done = super().received(self._turn_away(data))
        if self.request is None and not self.unread:
            self.begun = None
        elif self.begun is None:
            self.begun = time.monotonic()
        return done

    def _turn_away(self, data):
        """Refuse what begins here, when it cannot be taken and can be refused unparsed; gives the bytes left over."""
        while data:
            if self.unread:
                passed = min(self.unread, len(data))
                self.unread -= passed
                data = data[passed:]
                continue
            # What was asked before is answered first. (`requests` before the rest: a thread that ends one sets these.)
            if self.requests or self.request or self.total_outbufs_len or self.close_when_flushed or self.will_close:
                break
            found = outline(data) if self.server.full else None
            if found is None or found[0] in WATCHED:
                break
            path, self.unread = found
            reply = self.server.busy(path, last=False)
            # The reading thread alone closes connections, so that this one cannot be another by now.
            sent = max(0, _libc.send(self._fileno, reply, len(reply), socket.MSG_DONTWAIT))
            if sent < len(reply):
                self._answer(reply[sent:])
            self.server.refused()
        return data

    def _answer(self, reply):
        with self.outbuf_lock:
            self.outbufs[-1].append(reply)
            self.current_outbuf_count += len(reply)
            self.total_outbufs_len += len(reply)
            self._flush_exception(self._flush_some, do_close=False)

    def service(self):
        dispatcher = self.dispatcher
        try:
            super().service()
        finally:
            dispatcher.finished()

    def refuse(self):
        """Answer the first request with 503. The caller holds `requests_lock`, or is the only one at work here."""
        request = self.requests.pop(0)
        request.close()
        last = request.version != "1.1" or request.headers.get("CONNECTION", "").lower() == "close"
        # An answer to HEAD has no body: whoever reads this one must not take it for the beginning of the next answer.
        last = last or getattr(request, "command", "") == "HEAD"
        self._answer(self.server.busy(getattr(request, "path", ""), last))
        if last:
            self.close_when_flushed = True
        self.last_activity = time.time()

    @property
    def idle(self):
        return not (self.requests or self.request or self.total_outbufs_len or self.unread)


class _Dispatcher(ThreadedTaskDispatcher):
    """Hands requests to threads; says no when `limit` of them are under way."""

    def __init__(self, threads: int, limit: int):
        super().__init__()
        self.limit, self.under_way = limit, 0
        self._count_lock = threading.Lock()
        self.set_thread_count(threads)

    def takes(self, channel) -> bool:
        with self._count_lock:
            if self.under_way >= self.limit:
                return False
            self.under_way += 1
        channel.dispatcher = self
        channel.requests[0].arrived = time.monotonic()
        self.add_task(channel)
        return True

    def finished(self):
        with self._count_lock:
            self.under_way -= 1


class Server(TcpWSGIServer):
    """Serves a WSGI application.

    Parameters
    ----------
    application : callable
    host : str
    port : int
        0 for a free one; `effective_port` then tells which.
    threads : int
        Requests answered at the same time.
    limit : int
        Requests under way at most, answered or waiting for a thread. Further ones get 503 and Retry-After.
    headers : dict of str to str
        Of every answer that the application does not give itself.
    on_refusal : callable
        Called for each refused request.
    busy : dict of str to (str, bytes), optional
        For the beginning of a path: content type and body of a refusal there.

    Raises
    ------
    OSError
        When the address cannot be listened on.
    """

    channel_class = _Channel

    def __init__(self, application, *, host, port, threads, limit, headers, on_refusal, busy=None):
        self.stopping, self.on_refusal = False, on_refusal
        self._watchers = _Dispatcher(1, 16)
        self._warned = float("-inf")
        self.headers = list(headers.items())
        self._busy = {
            beginning: {last: self._refusal(kind, body, last) for last in (False, True)}
            for beginning, (kind, body) in ((busy or {}) | {"": ("application/problem+json", _BUSY)}).items()
        }
        adjustments = Adjustments(
            host=host,
            port=port,
            threads=threads,
            # Flask answers 413 itself; waitress must let it see such a body's length.
            max_request_body_size=2**31,
            ident=None,
            # A request that a proxy passed on must be seen as such: it does not come from this machine.
            clear_untrusted_proxy_headers=False,
            channel_timeout=RECEIVE_SECONDS,
            cleanup_interval=5,
            connection_limit=1_000,
            backlog=1_024,
            asyncore_use_poll=True,
        )
        self.received_bytes = ctypes.create_string_buffer(adjustments.recv_bytes)  # the reading thread's alone
        super().__init__(
            application,
            map={},
            dispatcher=_Dispatcher(threads, limit),
            adj=adjustments,
            sockinfo=adjustments.listen[0],
        )

    def _refusal(self, kind, body, last):
        lines = [f"{name}: {value}" for name, value in self.headers]
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Retry-After: 1"]
        lines += ["Connection: close"] if last else []
        return "\r\n".join(["HTTP/1.1 503 Service Unavailable", *lines, "", ""]).encode("latin-1") + body

    def busy(self, path: str, last: bool) -> bytes:
        """What a refused request is answered with.

        Parameters
        ----------
        path : str
        last : bool
            Whether the connection is closed afterwards.
        """
        return next(replies[last] for beginning, replies in self._busy.items() if path.startswith(beginning))

    def add_task(self, channel):
        # What could not be read as HTTP has no path.
        watcher = getattr(channel.requests[0], "path", "") in WATCHED
        if (self._watchers if watcher else self.task_dispatcher).takes(channel):
            return
        channel.refuse()
        self.refused()

    @property
    def full(self) -> bool:
        """Whether as many requests are under way as may be."""
        return self.task_dispatcher.under_way >= self.task_dispatcher.limit

    def refused(self):
        """Count a refusal; say so in the log now and then."""
        self.on_refusal()
        if time.monotonic() - self._warned > 10:
            self._warned = time.monotonic()
            _log.warning("requests are refused: %d are under way", self.task_dispatcher.limit)

    def maintenance(self, now):
        super().maintenance(now)
        oldest = time.monotonic() - RECEIVE_SECONDS
        for channel in self.active_channels.values():
            if channel.begun is not None and channel.begun < oldest:
                channel.will_close = True  # whoever sends so slowly keeps a place from others

    def run_until_stopped(self, grace: float, begun: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT, then answer what was accepted, for at most `grace` seconds.

        `begun` is called as soon as these signals stop it so: whoever waits for what it tells may stop it at once.
        """
        # Scoring keeps the interpreter busy. By default it would be taken from it only every 5 ms, for which the
        # thread that reads the network, and refuses, would have to wait.
        sys.setswitchinterval(SWITCH_SECONDS)
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self._stop) for number in signals}
        try:
            begun()
            while not self.stopping:
                self._poll(30)
            _log.info("stopping: finishing %d requests under way", self.task_dispatcher.under_way)
            self._finish(time.monotonic() + grace)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.task_dispatcher.shutdown(timeout=1)
            self._watchers.shutdown(timeout=1)
            wasyncore.close_all(self._map)
        _log.info("stopped")

    def _stop(self, number, frame):
        if self.stopping:
            raise SystemExit(1)  # asked twice: at once, then
        self.stopping = True
        self.pull_trigger()

    def _poll(self, timeout):
        wasyncore.loop(timeout=timeout, use_poll=True, map=self._map, count=1)

    def _finish(self, end):
        # Whoever has connected may have sent a request: take all that wait, then no more.
        for _ in range(self.adj.backlog):
            waiting = len(self.active_channels)
            self.handle_accept()
            if len(self.active_channels) == waiting:
                break
        self.del_channel()
        self.socket.close()
        self._poll(0)
        while self.active_channels and time.monotonic() < end:
            for channel in list(self.active_channels.values()):
                if channel.idle:
                    channel.will_close = True
            self._poll(0.05)
        if self.active_channels:
            _log.warning("%d connections were not finished in time", len(self.active_channels))
