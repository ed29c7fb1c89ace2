"""The process that forks a supervisor for each command, so that none has to be started.

It is started when the first command is, and detached at once: it is no child
of the program that it works for, whose waits never see it. Over one socket come
requests, each with the descriptors of one conversation. It ends with the
program, which a descriptor of that process tells it, or when the program lets go
of the socket. While it is stopped, the kernel ends it with the program.

Imports only what the interpreter has loaded or built in: a command waits for it.
"""

from __future__ import annotations

import _socket
import fcntl
import gc
import os
import select
import sys

from otel_codomon.sandbox import disk_meter, memory_meter  # noqa: F401 - so that no fork has to
from otel_codomon.sandbox.descriptor_passing import receive_descriptors, send_descriptors
from otel_codomon.sandbox.inherited_state import inherited_state
from otel_codomon.sandbox.spawning import PR_SET_DUMPABLE, PR_SET_PDEATHSIG, prctl
from otel_codomon.sandbox.supervisor import Supervisor
from otel_codomon.sandbox.tree import signal

# As what it finds the socket and the pipe at its start, and what else it finds.
_HANDED_OVER = (0, 1)
_DEV_NULL = 2
_STREAMS = (2, 1, 0)  # in the order of a request, after the socket of the conversation


class WarmProcess:
    """Serves one program until that ends.

    Attributes:
        requests: The socket from which requests are read.
        host: A descriptor of the process of the program (pidfd_open(2)).
        lifeline: A pipe that is never written to, whose other end the program holds.
    """

    def __init__(self, requests: int, host: int, lifeline: int) -> None:
        self.requests = _socket.socket(fileno=requests)
        self.host = host
        self.lifeline = lifeline
        self._pid = os.getpid()

    def serve(self) -> None:
        """Fork a supervisor for each request, until the program ends."""
        # What was forked vanishes when it ends: nobody here waits for it.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        _be_killed_at_the_end_of(self.lifeline)
        # A command of the same user must not get at the socket.
        prctl(PR_SET_DUMPABLE, 0)
        if hasattr(gc, "freeze"):  # PyPy needs none
            gc.freeze()  # what is never looked at is never copied either
        state = inherited_state()
        self.requests.send(b"%d" % self._pid)
        poll = select.poll()
        poll.register(self.requests, select.POLLIN)
        poll.register(self.host, select.POLLIN)
        while self.host not in dict(poll.poll()):
            data, descriptors = receive_descriptors(self.requests, 16)
            # Something else than us may have changed what a supervisor inherits.
            if not data or inherited_state() != state:
                return
            self._fork(descriptors)

    def _fork(self, descriptors: list[int]) -> None:
        try:
            is_copy = len(descriptors) > 1 and os.fork() == 0
        except OSError:  # too many processes: the program sees the socket of this request closed
            is_copy = False
        if is_copy:
            self._supervise(descriptors)
        for number in descriptors:
            os.close(number)

    def _supervise(self, descriptors: list[int]) -> None:
        """In the copy: be the supervisor of one command. Never returns."""
        code = 1
        try:
            supervisor = self._take_over(descriptors)
            supervisor.run()
            code = 0
        except SystemExit:  # the program died, or thought better of it
            return
        except BaseException:  # noqa: BLE001 - as the interpreter would at the end of a program
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _take_over(self, descriptors: list[int]) -> Supervisor:
        # Until the program knows of it, it goes with us, even if it is stopped.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._pid:
            raise SystemExit
        self.requests.close()
        os.close(self.lifeline)
        control, *streams = descriptors
        _introduce(control)  # the rest is done while the program writes down the task
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in zip(streams, _STREAMS, strict=False):
            os.dup2(number, stream)
            os.close(number)
        return Supervisor(control, host=self.host)


def _be_killed_at_the_end_of(pipe: int) -> None:
    """Have the kernel end this process, running or stopped, when *pipe* has no writer any more."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC)


def _introduce(control: int) -> None:
    """Tell the program who this is."""
    # So that the program can see that it is not restricted more than we are.
    prctl(PR_SET_DUMPABLE, 1)
    pid = os.getpid()
    me = os.pidfd_open(pid)
    prctl(PR_SET_PDEATHSIG, 0)
    end = _socket.socket(fileno=control)
    send_descriptors(end, b"%d" % pid, [me])
    end.detach()
    os.close(me)


def main() -> None:
    """Be the process, for the one whose id is the last argument."""
    host_pid = int(sys.argv[-1])
    requests, lifeline = map(os.dup, _HANDED_OVER)
    for number in _HANDED_OVER:
        os.dup2(_DEV_NULL, number)
    host = os.pidfd_open(host_pid)
    if os.getppid() != host_pid:  # it has died, and another may have its number
        return
    if os.fork() == 0:
        WarmProcess(requests, host, lifeline).serve()
    os._exit(0)
