"""Which system calls a confined program is refused, as a program for the kernel (seccomp(2), classic BPF).

A refused call fails with EPERM, as if the user had no right to it. Only what a program behind a wall has no honest use
for is refused, and what would get around the wall.
"""

from __future__ import annotations

import errno
import os
import struct

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000
"""Calls of the x32 interface have this bit: the same calls under other numbers."""

# Numbers on x86-64 and on 64-bit ARM; None where there is no such call.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # Namespaces and mounts.
    **{"mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "setns": (308, 268), "unshare": (272, 97)},
    **{"open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431)},
    **{"fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467)},
    # The machine.
    **{"kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105)},
    **{"finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224)},
    **{"swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443)},
    **{"syslog": (103, 116)},
    **{"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282)},
    # Ways around a filter, around mounts, and into the keys of the user's session.
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    **{"open_by_handle_at": (304, 265), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219)},
}
_OTHERS: dict[str, tuple[int | None, int | None]] = {
    # Other processes, and memory shared with them by name.
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"pidfd_getfd": (438, 438), "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190)},
    **{"msgget": (68, 186), "mq_open": (240, 180), "mq_unlink": (241, 181)},
}
_ATTRIBUTES: dict[str, tuple[int | None, int | None]] = {
    # Modes, owners, times and attributes of files: Landlock does not ask where those lie.
    **{"chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None)},
    **{"fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None)},
    **{"futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6)},
    **{"fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16)},
    **{"setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469)},
}
_OF_PROCESS: dict[str, tuple[int, tuple[int, int]]] = {
    # Calls that take the number of a process, where 0 is the caller itself: the argument, and their numbers.
    **{"setpriority": (1, (141, 140)), "ioprio_set": (1, (251, 30)), "prlimit64": (0, (302, 261))},
    **{"sched_setaffinity": (0, (203, 122)), "sched_setscheduler": (0, (144, 119)), "sched_setparam": (0, (142, 118))},
    **{"sched_setattr": (0, (314, 274)), "migrate_pages": (0, (256, 238)), "move_pages": (0, (279, 239))},
}
_CLONE, _CLONE3, _SOCKET, _IOCTL = (56, 220), (435, 435), (41, 198), (16, 29)
NAMESPACES = 0x7E020000
"""The flags of `clone` that ask for a namespace."""
TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR = 0x5412, 0x541C, 0x40086602, 0x401C5820
"""Typing into a terminal; attributes of files by another door."""
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16

_LOAD, _EQUAL, _SET, _GREATER, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16


def program(families: frozenset[int], *, others: bool = False, attributes: bool = False, machine: str = "") -> bytes:
    """Write the filter: sockets only of the `families`; empty where the architecture is not known.

    `others` refuses the calls that reach other processes, for jails without namespaces for these; `attributes` those
    that change modes, owners and times of files, for jails without mounts of their own.
    """
    machine = machine or os.uname().machine
    if machine not in ARCHITECTURES:
        return b""
    column = list(ARCHITECTURES).index(machine)
    named = {**_NUMBERS, **(_OTHERS if others else {}), **(_ATTRIBUTES if attributes else {})}
    numbers = sorted(number for pair in named.values() if (number := pair[column]) is not None)
    code = [(_LOAD, 0, 0, _AT_ARCHITECTURE), (_EQUAL, 1, 0, ARCHITECTURES[machine]), (_RETURN, 0, 0, _KILL)]
    code += [(_LOAD, 0, 0, _AT_NUMBER)]
    if machine == "x86_64":
        code += [(_GREATER, 0, 1, X32), _refuse(errno.ENOSYS)]
    for number in numbers:
        code += [(_EQUAL, 0, 1, number), _refuse(errno.EPERM)]
    for argument, pair in _OF_PROCESS.values() if others else ():
        code += _if_call(pair[column], [_argument(argument), (_EQUAL, 1, 0, 0), _refuse(errno.EPERM)])
    # Its flags lie in memory, which no filter can read; without it the C library takes `clone`.
    code += [(_EQUAL, 0, 1, _CLONE3[column]), _refuse(errno.ENOSYS)]
    code += _if_call(_CLONE[column], [_argument(0), (_SET, 0, 1, NAMESPACES), _refuse(errno.EPERM)])
    orders = (TIOCSTI, TIOCLINUX, *((FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR) if attributes else ()))
    checks = [step for order in orders for step in ((_EQUAL, 0, 1, order), _refuse(errno.EPERM))]
    code += _if_call(_IOCTL[column], [_argument(1), *checks])
    allowed = [step for family in sorted(families) for step in ((_EQUAL, 0, 1, family), (_RETURN, 0, 0, _ALLOW))]
    code += _if_call(_SOCKET[column], [_argument(0), *allowed, _refuse(errno.EPERM)])
    code += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in code)


def _if_call(number: int, steps: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Steps that are taken for one call only; whatever they do not decide is allowed."""
    body = [*steps, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(body), number), *body]


def _argument(index: int) -> tuple[int, int, int, int]:
    """Load the lower half of an argument (both architectures are little-endian)."""
    return (_LOAD, 0, 0, _AT_ARGUMENTS + 8 * index)


def _refuse(number: int) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, _ERRNO | number)
