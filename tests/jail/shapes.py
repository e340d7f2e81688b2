"""Programs that do not want to be ended: `shapes.py SHAPE TAG exit|stay`. All their processes show TAG as an argument.

Each sets up its shape, prints `ready`, and then either exits with 7 or stays.
"""

import ctypes
import os
import signal
import sys
import time


def sleep_on():
    while True:
        time.sleep(1000)


def forked(action):
    if os.fork() == 0:
        try:
            action()
        finally:
            os._exit(0)


def double_fork():
    forked(lambda: forked(sleep_on))


def own_session():
    def action():
        os.setsid()
        sleep_on()

    forked(action)


def storm():
    reader, writer = os.pipe()

    def rest():
        os.write(writer, b".")
        sleep_on()

    def action():
        forked(rest)
        rest()

    for _ in range(100):
        forked(action)
    # On a busy machine the last of them comes long after its parent.
    there = 0
    while there < 200:
        there += len(os.read(reader, 200))


def deaf():
    def action():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        sleep_on()

    forked(action)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def refork():
    """Every process starts its successor in a new session and exits; the chain never has the same number twice."""

    def action():
        # Should nobody end it, it ends by itself: a chain that a broken test leaves eats a whole machine.
        until = time.monotonic() + 90
        while time.monotonic() < until:
            if os.fork():
                os._exit(0)
            os.setsid()
        os._exit(0)

    forked(action)


def daemon():
    """As daemons do: a session of its own, no parent, no open files, another directory."""

    def last():
        os.chdir("/")
        os.closerange(0, 256)
        sleep_on()

    def first():
        os.setsid()
        forked(last)

    forked(first)


def bare_daemon():
    """A daemon that also throws its environment away."""

    def last():
        os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(9999)", sys.argv[2]], {})

    def first():
        os.setsid()
        forked(last)

    forked(first)


def stopped():
    def action():
        os.setsid()
        while True:
            os.kill(os.getpid(), signal.SIGSTOP)

    forked(action)


def blocked():
    """A parent in vfork waits in the kernel, where no signal but SIGKILL reaches it."""

    def action():
        ctypes.PyDLL(None).vfork()
        sleep_on()

    forked(action)


def headless():
    """A process whose first thread has ended looks like a zombie, and runs."""

    def action():
        import threading

        threading.Thread(target=sleep_on).start()
        ctypes.PyDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)

    forked(action)


def respawn():
    """Two that watch each other, and start the other again when it is gone."""

    def action():
        os.setsid()
        while True:
            pid = os.fork()
            if pid == 0:
                while os.getppid() != 1:
                    time.sleep(0.001)
            else:
                os.waitpid(pid, 0)

    forked(action)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
    time.sleep(0.05)
    os.write(1, b"ready\n")
    if sys.argv[3] == "exit":
        os._exit(7)
    sleep_on()
