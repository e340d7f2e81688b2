"""What a worker tries in order to reach out of its jail: `attacks.py LAB.json`, run inside, one process per attempt.

Prints a line of JSON for each attempt, with what became of it as the attempt itself saw it. Whether anything was
reached is judged from outside (`escape.py`): each attempt has a victim of its own there.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
LAB = {}
LIMIT_S = 10


def syscall(number, *args):
    result = LIBC.syscall(number, *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# Ways to name a file outside.


def absolute(path):
    return path


def doubled(path):
    return "//." + path


def dotdot(path):
    return "../" * 20 + path.lstrip("/")


def through_cwd(path):
    return "/proc/self/cwd/" + "../" * 20 + path.lstrip("/")


def through_root(path):
    return "/proc/self/root" + path


def through_first(path):
    return "/proc/1/root" + path


def through_parent(path):
    return f"/proc/{os.getppid()}/root" + path


def through_supervisor(path):
    return f"/proc/{LAB['supervisor']}/root" + path


def through_thread(path):
    return "/proc/thread-self/root" + path


def by_link(path):
    link = f"link-{os.getpid()}"
    os.symlink(path, link)
    return link


def by_link_above(path):
    link = f"dir-{os.getpid()}"
    os.symlink(os.path.dirname(path), link)
    return f"{link}/{os.path.basename(path)}"


def by_descriptor(path):
    fd = os.open("/", os.O_PATH)
    return f"/proc/self/fd/{fd}/" + path.lstrip("/")


SPELLINGS = (
    *(absolute, doubled, dotdot, through_cwd, through_root, through_first, through_parent, through_supervisor),
    *(through_thread, by_link, by_link_above, by_descriptor),
)


# Ways to write there; each gets the folder of its victim.


def append(at):
    with open(at + "/victim", "a") as file:
        file.write("touched")


def cut_off(at):
    os.truncate(at + "/victim", 1)


def empty(at):
    os.close(os.open(at + "/victim", os.O_RDWR | os.O_TRUNC))


def make(at):
    with open(at + "/new", "x") as file:
        file.write("new")


def make_folder(at):
    os.mkdir(at + "/new")


def make_link(at):
    os.symlink("/etc/passwd", at + "/new")


def make_pipe(at):
    os.mkfifo(at + "/new")


def take_away(at):
    os.unlink(at + "/victim")


def rename_over(at):
    with open("mine", "w") as file:
        file.write("touched")
    os.rename("mine", at + "/victim")


def move_in(at):
    os.rename(at + "/victim", f"taken-{os.getpid()}")


def link_in(at):
    name = f"hard-{os.getpid()}"
    os.link(at + "/victim", name)
    with open(name, "a") as file:
        file.write("touched")


def link_out(at):
    with open("mine", "w") as file:
        file.write("x")
    os.link("mine", at + "/new")


def mode(at):
    os.chmod(at + "/victim", 0o777)


def mode_by_descriptor(at):
    os.fchmod(os.open(at + "/victim", os.O_RDONLY), 0o777)


def times(at):
    os.utime(at + "/victim", (1, 1))


def times_by_descriptor(at):
    os.utime(os.open(at + "/victim", os.O_RDONLY), (1, 1))


def owner(at):
    os.chown(at + "/victim", os.getuid(), os.getgid() or 1)


def attribute(at):
    os.setxattr(at + "/victim", "user.touched", b"1")


def reopen(at):
    fd = os.open(at + "/victim", os.O_RDONLY)
    with open(f"/proc/self/fd/{fd}", "a") as file:
        file.write("touched")


def nameless(at):
    fd = os.open(at, os.O_TMPFILE | os.O_RDWR)
    os.link(f"/proc/self/fd/{fd}", at + "/new")


def map_it(at):
    import mmap

    with open(at + "/victim", "r+b") as file, mmap.mmap(file.fileno(), 4) as seen:
        seen[:4] = b"xxxx"


def by_shell(at):
    subprocess.run(["sh", "-c", 'echo touched >> "$1"', "sh", at + "/victim"], check=True, stderr=subprocess.DEVNULL)


WRITES = (
    *(append, cut_off, empty, make, make_folder, make_link, make_pipe, take_away, rename_over, move_in, link_in),
    *(link_out, mode, mode_by_descriptor, times, times_by_descriptor, owner, attribute, reopen, nameless, map_it),
    by_shell,
)


# Everything else. Those that reach something say so by returning text, or are seen from outside.


def _read(path):
    with open(path, "rb") as file:
        return file.read(1 << 20).decode(errors="replace")


def read_secret():
    return _read(LAB["secret"])


def read_secret_through_first():
    return _read("/proc/1/root" + LAB["secret"])


def read_secret_through_supervisor():
    return _read(f"/proc/{LAB['supervisor']}/root" + LAB["secret"])


def environment_of_first():
    return _read("/proc/1/environ")


def environment_of_supervisor():
    return _read(f"/proc/{LAB['supervisor']}/environ")


def environment_of_everybody():
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                found.append(_read(f"/proc/{name}/environ"))
            except OSError:
                continue
    return "\n".join(found)


def memory_of_supervisor():
    with open(f"/proc/{LAB['supervisor']}/mem", "rb") as file:
        return f"opened {file.name} CANARY"


def shadow():
    return "CANARY" if _read("/etc/shadow") else ""


def own_home():
    return _read(LAB["home"] + "/.ssh/id_ed25519")


def journal():
    return _read(LAB["state"] + "/journal.db")


def fleet_secret():
    return _read(LAB["state"] + "/door.secret")


def other_run():
    return _read(LAB["state"] + "/runs/other.1/brief.md")


def descriptors():
    kept = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(LAB["root"]) and not target.startswith((LAB["workspace"], LAB["attacks"])):
            kept.append(f"CANARY descriptor {name}: {target}")
    return "\n".join(kept)


def stdin_for_writing():
    target = os.readlink("/proc/self/fd/0")
    fd = os.open("/proc/self/fd/0", os.O_RDWR)
    os.write(fd, b"touched")
    return "CANARY" if target.startswith("/") and not target.startswith(("/dev", "/memfd")) else ""


def stdin_mode():
    os.fchmod(0, 0o777)
    target = os.readlink("/proc/self/fd/0")
    return "CANARY" if target.startswith("/") and not target.startswith(("/dev", "/memfd")) else ""


def _connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as handle:
        handle.settimeout(2)
        handle.connect(address)
        handle.sendall(b"reached")
        return "CANARY connected"


def unix_socket():
    return _connect(socket.AF_UNIX, LAB["socket"])


def unix_socket_through_supervisor():
    return _connect(socket.AF_UNIX, f"/proc/{LAB['supervisor']}/root{LAB['socket']}")


def abstract_socket():
    return _connect(socket.AF_UNIX, "\0" + LAB["abstract"])


def abstract_datagram():
    return _connect(socket.AF_UNIX, "\0" + LAB["abstract"] + "-d", socket.SOCK_DGRAM)


def tcp():
    return _connect(socket.AF_INET, ("127.0.0.1", LAB["port"]))


def tcp_six():
    return _connect(socket.AF_INET6, ("::ffff:127.0.0.1", LAB["port"]))


def udp_blind():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        handle.sendto(b"reached", ("127.0.0.1", LAB["udp"]))


def other_address():
    return _connect(socket.AF_INET, (LAB["address"], LAB["port"])) if LAB["address"] else ""


def raw_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as handle:
        handle.sendto(b"\x08\x00" + bytes(6), ("127.0.0.1", 0))
        return "" if LAB["own_loopback"] else "CANARY raw"


def packet_socket():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW):
        return "CANARY packet"


def virtual_socket():
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM):
        return "CANARY vsock"


def kill_bystander():
    os.kill(LAB["bystander"], signal.SIGKILL)


def stop_supervisor():
    os.kill(LAB["supervisor"], 0)
    return "CANARY signalled"


def kill_by_pidfd():
    fd = os.pidfd_open(LAB["bystander"])
    signal.pidfd_send_signal(fd, signal.SIGKILL)


def signal_group():
    os.killpg(os.getpgid(LAB["bystander"]), signal.SIGKILL)


def trace_bystander():
    if LIBC.ptrace(16, LAB["bystander"], 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "CANARY traced"


def trace_first():
    if LIBC.ptrace(0x4206, os.getppid() if os.getppid() != 1 else LAB["supervisor"], 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "" if LAB["pids"] else "CANARY traced"


def read_memory_of_bystander():
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("PN", ctypes.addressof(buffer), 8)
    remote = struct.pack("PN", LAB["mapped"], 8)
    syscall(310, LAB["bystander"], local, 1, remote, 1, 0)
    return "CANARY read"


def take_descriptor():
    fd = os.pidfd_open(LAB["bystander"])
    syscall(438, fd, 0, 0)
    return "CANARY descriptor"


def slow_bystander():
    os.setpriority(os.PRIO_PROCESS, LAB["bystander"], 19)
    return "CANARY" if os.getpriority(os.PRIO_PROCESS, LAB["bystander"]) == 19 else ""


def limit_bystander():
    import resource

    resource.prlimit(LAB["bystander"], resource.RLIMIT_NOFILE, (64, 64))
    return "CANARY limited"


def mount_over():
    if LIBC.mount(b"tmpfs", LAB["workspace"].encode(), b"tmpfs", 0, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")
    return "CANARY mounted"


def mount_bind():
    os.makedirs("bound", exist_ok=True)
    if LIBC.mount(b"/", b"bound", None, 0x5000, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")
    return "CANARY mounted"


def remount_writable():
    if LIBC.mount(None, b"/usr", None, 0x20 | 0x1000, None) < 0:
        raise OSError(ctypes.get_errno(), "mount")
    return "CANARY remounted"


def unmount(path="/tmp"):
    if LIBC.umount2(path.encode(), 2) < 0:
        raise OSError(ctypes.get_errno(), "umount")
    return "CANARY unmounted"


def unmount_proc():
    return unmount("/proc")


def open_tree():
    syscall(428, -100, b"/", 1)
    return "CANARY tree"


def mount_attributes():
    syscall(442, -100, b"/usr", 0x8000, struct.pack("4Q", 0, 1, 0, 0), ctypes.c_size_t(32))
    return "CANARY writable"


def other_root():
    os.chroot(LAB["workspace"])
    return "CANARY root"


def pivot():
    syscall(155, LAB["workspace"].encode(), LAB["workspace"].encode())
    return "CANARY pivoted"


def _unshare(flag):
    if LIBC.unshare(flag) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    return "CANARY namespace"


def new_users():
    return _unshare(0x10000000)


def new_mounts():
    return _unshare(0x20000)


def new_network():
    return _unshare(0x40000000)


def new_processes():
    return _unshare(0x20000000)


def new_users_by_clone():
    pid = syscall(56, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "CANARY namespace"


def new_users_by_clone_three():
    args = struct.pack("11Q", 0x10000000, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    pid = syscall(435, args, ctypes.c_size_t(len(args)))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "CANARY namespace"


def join_first():
    fd = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    if LIBC.setns(fd, 0) < 0:
        raise OSError(ctypes.get_errno(), "setns")
    return "CANARY joined"


def join_supervisor():
    fd = os.open(f"/proc/{LAB['supervisor']}/ns/mnt", os.O_RDONLY)
    if LIBC.setns(fd, 0) < 0:
        raise OSError(ctypes.get_errno(), "setns")
    return "CANARY joined"


def handle_is_refused():
    try:
        syscall(304, -100, struct.pack("Ii", 8, 1) + bytes(8), os.O_RDONLY)
    except OSError as error:
        return "" if error.errno in (errno.EPERM, errno.EBADF, errno.ENOSYS) else f"CANARY {error}"
    return "CANARY handle"


def ring():
    fd = syscall(425, 4, ctypes.create_string_buffer(256))
    return f"CANARY ring {fd}"


def kernel_program():
    syscall(321, 0, bytes(128), 128)
    return "CANARY bpf"


def faults():
    syscall(323, 0)
    return "CANARY userfaultfd"


def keys_of_session():
    syscall(250, 0, -3, 1)
    return "CANARY keyring"


def add_key():
    syscall(248, b"user", b"ganger-escape", b"x", ctypes.c_size_t(1), -4)
    return "CANARY key"


def shared_memory():
    ident = LIBC.shmget(LAB["shm_key"], 16, 0)
    if ident < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    return "CANARY shared memory"


def message_queue():
    number = LIBC.msgget(LAB["shm_key"], 0)
    if number < 0:
        raise OSError(ctypes.get_errno(), "msgget")
    return "CANARY queue"


def _open_for_writing(path):
    fd = os.open(path, os.O_WRONLY)
    os.close(fd)
    return f"CANARY {path} can be written"


def block_device():
    os.mknod("disk", 0o60666, os.stat("/").st_dev)
    os.close(os.open("disk", os.O_RDONLY))
    return "CANARY device"


def memory_device():
    os.mknod("memory", 0o20666, os.makedev(1, 1))
    os.close(os.open("memory", os.O_RDONLY))
    return "CANARY device"


def disks():
    for name in os.listdir("/dev"):
        if name.startswith(("vd", "sd", "nvme", "xvd", "dm-")):
            os.close(os.open(f"/dev/{name}", os.O_RDONLY))
            return "CANARY disk"
    return ""


def kernel_log():
    return _open_for_writing("/dev/kmsg")


def physical_memory():
    return _open_for_writing("/dev/mem")


def core_pattern():
    return _open_for_writing("/proc/sys/kernel/core_pattern")


def module_path():
    return _open_for_writing("/proc/sys/kernel/modprobe")


def host_name():
    return _open_for_writing("/proc/sys/kernel/hostname")


def processes_max():
    return _open_for_writing("/proc/sys/kernel/pid_max")


def sysrq():
    return _open_for_writing("/proc/sysrq-trigger")


def interrupts():
    return _open_for_writing("/proc/irq/default_smp_affinity")


def control_groups():
    found = [folder for folder in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified") if os.path.isdir(folder)]
    for folder in found:
        os.mkdir(f"{folder}/ganger-escape")
        os.rmdir(f"{folder}/ganger-escape")
        return "CANARY control group"
    return ""


def kernel_objects():
    return _open_for_writing("/sys/kernel/uevent_helper")


def scores_of_first():
    with open(f"/proc/{LAB['supervisor']}/oom_score_adj", "r+") as file:
        return "CANARY" if file.writable() else ""


def users_program():
    with open("/proc/self/status") as file:
        return "" if "NoNewPrivs:\t1" in file.read() else "CANARY new privileges"


def capabilities():
    with open("/proc/self/status") as file:
        held = [line.split()[1] for line in file if line.startswith(("CapEff", "CapPrm", "CapAmb"))]
    return "CANARY capabilities" if LAB["pids"] and any(int(mask, 16) for mask in held) else ""


def run_as_root():
    done = subprocess.run(["su", "-c", "true", "root"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return "CANARY su" if done.returncode == 0 and os.getuid() != 0 else ""


def type_into_terminal():
    import fcntl
    import termios

    fd = os.open("/dev/tty", os.O_RDWR)
    fcntl.ioctl(fd, termios.TIOCSTI, b"x")
    return "CANARY typed"


def type_is_refused():
    import fcntl

    _, slave = os.openpty()
    try:
        fcntl.ioctl(slave, 0x5412, b"x")
    except OSError as error:
        return "" if error.errno == errno.EPERM else f"CANARY {error}"
    return "CANARY typed"


def git_hook():
    with open(".git/hooks/post-checkout", "w") as file:
        file.write("#!/bin/sh\n")


def git_config():
    with open(".git/config", "a") as file:
        file.write("[core]\n\tfsmonitor = touched\n")


def git_config_replaced():
    with open(".git/config.mine", "w") as file:
        file.write("[core]\n")
    os.rename(".git/config.mine", ".git/config")


def git_config_away():
    os.unlink(".git/config")


def git_hooks_away():
    os.rename(".git/hooks", ".git/hooks.old")


def git_away():
    os.rename(".git", ".git.old")


def git_config_mode():
    os.chmod(".git/config", 0o777)


def host_temporary():
    with open(LAB["host_tmp"], "x") as file:
        file.write("touched")


def shared_memory_folder():
    with open("/dev/shm/" + LAB["shm_name"], "x") as file:
        file.write("touched")


def runtime_folder():
    with open("/run/" + LAB["shm_name"], "x") as file:
        file.write("touched")


def system_folder():
    with open("/usr/" + LAB["shm_name"], "x") as file:
        file.write("touched")


def account():
    fd = os.open("/etc/passwd", os.O_WRONLY)
    os.close(fd)
    return "CANARY passwd"


def table_of_jobs():
    with open("/var/spool/cron/" + LAB["shm_name"], "x") as file:
        file.write("touched")


def reboot():
    # With a wrong magic number even a permitted call does nothing.
    syscall(169, 1, 1, 1, 0)


SPECIALS = (
    *(read_secret, read_secret_through_first, read_secret_through_supervisor, environment_of_first),
    *(environment_of_supervisor, environment_of_everybody, memory_of_supervisor, shadow, own_home, journal),
    *(fleet_secret, other_run, descriptors, stdin_for_writing, stdin_mode, unix_socket),
    *(unix_socket_through_supervisor, abstract_socket, abstract_datagram, tcp, tcp_six, udp_blind, other_address),
    *(raw_socket, packet_socket, virtual_socket, stop_supervisor, trace_bystander, trace_first),
    *(read_memory_of_bystander, take_descriptor, slow_bystander, limit_bystander, mount_over, mount_bind),
    *(remount_writable, unmount, unmount_proc, open_tree, mount_attributes, other_root, pivot, new_users, new_mounts),
    *(new_network, new_processes, new_users_by_clone, new_users_by_clone_three, join_first, join_supervisor),
    *(handle_is_refused, ring, kernel_program, faults, keys_of_session, add_key, shared_memory, message_queue),
    *(block_device, memory_device, disks, kernel_log, physical_memory, core_pattern, module_path, host_name),
    *(processes_max, sysrq, interrupts, control_groups, kernel_objects, scores_of_first, users_program, capabilities),
    *(run_as_root, type_into_terminal, type_is_refused, git_hook, git_config, git_config_replaced, git_config_away),
    *(git_hooks_away, git_away, git_config_mode, host_temporary, shared_memory_folder, runtime_folder, system_folder),
    *(account, table_of_jobs, reboot, kill_bystander, kill_by_pidfd, signal_group),
)
HARMLESS = frozenset(
    {
        *("read_secret", "read_secret_through_supervisor", "environment_of_supervisor", "own_home", "journal"),
        *("fleet_secret", "other_run", "unix_socket", "unix_socket_through_supervisor", "abstract_socket"),
        *("abstract_datagram", "tcp", "tcp_six", "udp_blind", "stop_supervisor", "slow_bystander", "git_hook"),
        *("git_config", "git_away", "host_temporary", "shared_memory", "kill_bystander", "users_program"),
    }
)
"""Those that may be tried without a jail: all they reach is the lab's own."""


def tried(name, action):
    """Do one attempt in a process of its own; what it said."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        signal.alarm(LIMIT_S)
        try:
            said = ["done", action() or ""]
        except BaseException as error:
            said = ["refused", f"{type(error).__name__}: {error}"]
        secret = " CANARY" if "CANARY" in said[1] else ""
        os.write(writer, json.dumps([said[0], said[1][:300] + secret]).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    status = os.waitpid(pid, 0)[1]
    what, detail = json.loads(text) if text else ("ended", f"status {status}")
    print(json.dumps({"name": name, "what": what, "detail": detail}), flush=True)


def main():
    with open(sys.argv[1]) as file:
        LAB.update(json.load(file))
    for place in ("hidden", "shown"):
        for spelling in SPELLINGS:
            for write in WRITES if spelling is absolute else WRITES[:: 3 if place == "hidden" else 2]:
                name = f"{place}-{spelling.__name__}-{write.__name__}"
                at = f"{LAB['root']}/{place}/{name}"
                tried(name, lambda at=at, spelling=spelling, write=write: write(spelling(at)))
    for special in SPECIALS:
        if not LAB["harmless"] or special.__name__ in HARMLESS:
            tried(special.__name__, special)
    time.sleep(0.05)


if __name__ == "__main__":
    main()
