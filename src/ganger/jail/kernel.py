"""What a process does to itself before it becomes a confined program: Landlock, system call filter, mounts, limits.

The shim (`reaper`) uses it in its child, so it knows only the standard library, and little of that. Each function
raises OSError when the kernel refuses, and the program is then not started.

The interfaces are those of the manual pages landlock(7), seccomp(2), mount_setattr(2) and user_namespaces(7).
"""

# Importing pathlib would take longer than everything else here.
# ruff: noqa: PTH109, PTH110, PTH123

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
LINUX = sys.platform.startswith("linux")
CREATE_RULESET, ADD_RULE, RESTRICT_SELF, MOUNT_SETATTR = 444, 445, 446, 442
"""Numbers of system calls, the same on every architecture since they are newer than the common table."""
RULESET_VERSION = 1
RULE_PATH_BENEATH, RULE_NET_PORT, CONNECT_TCP = 1, 2, 2
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, CAPABILITIES = 24, 47, 4, 64
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x8000000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MOUNT_ATTR_RDONLY, AT_FDCWD, AT_RECURSIVE = 1, -100, 0x8000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
MIB = 1 << 20


def landlock_abi() -> int:
    """The version of Landlock of this kernel; 0 where there is none."""
    if not LINUX:
        return 0
    return max(0, int(LIBC.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(RULESET_VERSION))))


def can_seal() -> bool:
    """Whether this user may make namespaces of its own, as `seal` does."""
    if not LINUX:
        return False
    pid = os.fork()
    if pid == 0:
        try:
            seal((), (), own_network=True)
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def become(wall: dict[str, Any]) -> None:
    """Put up everything of a wall (`port.Wall`) that the process itself can; bubblewrap does the rest."""
    if wall.get("sealed") is not None:
        seal(wall["sealed"], wall.get("frozen", ()), wall.get("own_network", False))
    # Processes are counted within the namespace only if it is there before their limit.
    for name, value in wall.get("limits", {}).items():
        if not (wall.get("bwrap") and name == "RLIMIT_NPROC"):
            limit(0, name, value)
    if wall.get("powerless"):
        give_up_power()
    ruling = wall.get("ruling")
    if ruling or wall.get("filter"):
        take_no_privileges()
    if ruling:
        restrict(ruling["files"], ruling["ports"], ruling["scopes"], ruling["rules"], ruling.get("port", 0))
    if wall.get("filter") and not wall.get("bwrap"):
        refuse_calls(bytes.fromhex(wall["filter"]))


def limit(pid: int, name: str, value: int) -> None:
    """Set a resource limit, and its ceiling, of a process (0: this one), never above what it has."""
    number = getattr(resource, name)
    ceiling = resource.getrlimit(number)[1]
    value = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
    resource.prlimit(pid, number, (value, value))


def give_up_power() -> None:
    """See to it that the program has no capability, whoever runs it; without the right to do so there is none."""
    LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(CAPABILITIES):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def take_no_privileges() -> None:
    """See to it that no program started from here on gains rights by being executed, as the kernel wants it first."""
    _check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def rlimits(limits: Any) -> dict[str, int]:
    """Name the resource limits that hold what `port.Limits` asks for."""
    asked = (
        ("RLIMIT_NPROC", limits.processes, 1),
        ("RLIMIT_DATA", limits.memory_mib, MIB),
        ("RLIMIT_NOFILE", limits.files, 1),
        ("RLIMIT_CPU", limits.cpu_s, 1),
        ("RLIMIT_FSIZE", limits.file_mib, MIB),
    )
    return {name: number * unit for name, number, unit in asked if number is not None}


def restrict(files: int, ports: int, scopes: int, rules: list[tuple[str, int]], port: int = 0) -> None:
    """Give up all rights of `files` (access to files), `ports` (TCP) and `scopes`, but for those of the rules.

    `port` may be connected to all the same.

    A rule for a path that is not there is left out: nothing is there to be used.
    """
    abi = landlock_abi()
    fields = [files, ports, scopes][: 1 if abi < 4 else 2 if abi < 6 else 3]
    attr = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = _check(LIBC.syscall(CREATE_RULESET, attr, ctypes.c_size_t(len(attr)), ctypes.c_uint32(0)), "Landlock")
    for path, rights in rules:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                continue
            raise
        beneath = struct.pack("=Qi", rights, place)
        _check(LIBC.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, beneath, ctypes.c_uint32(0)), f"Landlock on {path}")
        os.close(place)
    if port and abi >= 4:
        to_port = struct.pack("=QQ", CONNECT_TCP, port)
        _check(LIBC.syscall(ADD_RULE, ruleset, RULE_NET_PORT, to_port, ctypes.c_uint32(0)), "Landlock on a port")
    _check(LIBC.syscall(RESTRICT_SELF, ruleset, ctypes.c_uint32(0)), "Landlock")
    os.close(ruleset)


def refuse_calls(program: bytes) -> None:
    """Have the kernel ask a filter (`seccomp.program`) before every system call from here on."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _check(LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog, 0, 0), "seccomp")


def seal(writable: Sequence[str], frozen: Sequence[str], own_network: bool) -> None:
    """Move into namespaces of its own in which all is mounted read-only but `writable`, without `frozen` below it."""
    _move(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | (CLONE_NEWNET if own_network else 0))
    if own_network:
        _raise_loopback()
    _check(LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount")
    open_places = [os.fsencode(path) for path in writable]
    shut_places = [os.fsencode(path) for path in frozen if os.path.exists(path)]
    for place in (*open_places, *shut_places):
        _check(LIBC.mount(place, place, None, MS_BIND | MS_REC, None), "mount")
    _set_mount(b"/", MOUNT_ATTR_RDONLY, 0)
    for place in open_places:
        _set_mount(place, 0, MOUNT_ATTR_RDONLY)
    for place in shut_places:
        _set_mount(place, MOUNT_ATTR_RDONLY, 0)
    # The working directory still refers to what lay below the new mount.
    os.chdir(os.getcwd())


def listen_apart(port: int) -> int:
    """Move into a network of its own and listen there, at that port of its loopback; the descriptor."""
    import socket

    _move(CLONE_NEWUSER | CLONE_NEWNET)
    _raise_loopback()
    with socket.create_server(("127.0.0.1", port), backlog=64) as listener:
        return listener.detach()


def _move(flags: int) -> None:
    """Move into new namespaces, one of users among them, in which this user is who it is outside."""
    uid, gid = os.getuid(), os.getgid()
    _check(LIBC.unshare(flags), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _set_mount(path: bytes, to_set: int, to_clear: int) -> None:
    attr = struct.pack("4Q", to_set, to_clear, 0, 0)
    number = LIBC.syscall(MOUNT_SETATTR, AT_FDCWD, path, AT_RECURSIVE, attr, ctypes.c_size_t(len(attr)))
    _check(number, "mount_setattr")


def _raise_loopback() -> None:
    import fcntl
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request = fcntl.ioctl(handle, SIOCGIFFLAGS, struct.pack("16sh22x", b"lo", 0))
        flags = struct.unpack_from("h", request, 16)[0]
        fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
