"""What hostile code would try, run inside a sandbox: it reports for each case whether the way is open.

Usage: sandbox_probe.py FOLDER DESCRIPTOR, with a request {"cases": […], "bait": {…}} on standard input. Cases are
those of docs on security tests; every one leaves the machine as it was.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import signal
import socket
import sys
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
REFUSED = {1, 13, 38}  # EPERM, EACCES, ENOSYS
bait: dict = {}


def call(number: int, *arguments: int) -> bool:
    """Whether the kernel takes this system call (x86-64), be it to say that the arguments are wrong."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(value) for value in arguments])
    return result != -1 or ctypes.get_errno() not in REFUSED


def connect(family: int, kind: int, address: object) -> bool:
    with socket.socket(family, kind) as end:
        end.settimeout(2)
        end.connect(address)
        return bool(end.send(b"hit"))


def make_socket(family: int, kind: int, protocol: int = 0) -> bool:
    socket.socket(family, kind, protocol).close()
    return True


def reads(path: str) -> bool:
    with open(path, "rb") as file:
        return len(file.read(16)) > 0


def writes(path: str, size: int = 1) -> bool:
    try:
        with open(path, "wb", buffering=0) as file:
            written = 0
            while written < size:
                written += file.write(bytes(min(size - written, 1 << 20)))
            return True
    finally:
        if os.path.exists(path):
            os.unlink(path)


def opens_for_writing(path: str) -> bool:
    os.close(os.open(path, os.O_WRONLY))
    return True


def forks() -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def many_threads() -> bool:
    threading.stack_size(1 << 18)  # so that their number is what meets a limit
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait, daemon=True) for _ in range(40)]
    try:
        for thread in threads:
            thread.start()
        return True
    finally:
        stop.set()


def status(word: str) -> str:
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith(word + ":"))


def descriptors() -> bool:
    answers = int(sys.argv[2])
    extra = []
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the listing's own
        extra.append(int(name))
    return bool(set(extra) - {0, 1, 2, answers})


CASES = {
    "N01 tcp": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", bait["port"])),
    "N02 udp": lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", bait["port"])),
    "N04 abstract socket": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + bait["abstract"]),
    "N05 path socket": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, bait["socket"]),
    "N06 raw socket": lambda: make_socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "N07 interfaces": lambda: make_socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "N08 vsock": lambda: make_socket(40, socket.SOCK_STREAM),
    "N10 ipv6": lambda: make_socket(socket.AF_INET6, socket.SOCK_STREAM),
    "F01 shadow": lambda: reads("/etc/shadow"),
    "F02 canary": lambda: reads(bait["canary"]),
    "F03 write data": lambda: writes(os.path.join(sys.argv[1], "x")),
    "F04 write usr": lambda: writes("/usr/sojourn-probe"),
    "F05 write root": lambda: writes("/sojourn-probe"),
    "F06 passwd": lambda: reads("/etc/passwd"),
    "F07 kmsg": lambda: reads("/dev/kmsg") if os.path.exists("/dev/kmsg") else False,
    "F09 environment of others": lambda: reads("/proc/1/environ"),
    "F09 other processes": lambda: len([name for name in os.listdir("/proc") if name.isdigit()]) > 2,
    "F10 core pattern": lambda: opens_for_writing("/proc/sys/kernel/core_pattern"),
    "F11 sys": lambda: bool(os.listdir("/sys")),
    "F13 fill tmp": lambda: writes("/tmp/sojourn-probe", 12 << 20),
    "F13 fill dev": lambda: writes("/dev/sojourn-probe", 1),
    "F16 descriptors": descriptors,
    "P01 fork": forks,
    "P01 threads": many_threads,
    "P02 memory": lambda: bool(mmap.mmap(-1, 2 << 30)),
    "P06 ptrace": lambda: call(101, 0, 0, 0, 0),
    "P07 unshare": lambda: call(272, 0),
    "P08 clone3": lambda: call(435, 0, 0),
    "P09 new privileges": lambda: status("NoNewPrivs") != "1",
    "P10 capabilities": lambda: any(int(status(word), 16) for word in ("CapInh", "CapPrm", "CapEff", "CapBnd")),
    "P11 no filter": lambda: status("Seccomp") != "2",
    "P12 keyctl": lambda: call(250, 0, -3, 0),
    "P13 bpf": lambda: call(321, 0, 0, 0),
    "P14 perf": lambda: call(298, 0, 0, -1, -1, 0),
    "P15 userfaultfd": lambda: call(323, 0),
    "P16 io_uring": lambda: call(425, 0, 0),
    "P17 TIOCSTI": lambda: fcntl.ioctl(0, 0x5412, b"x") == 0,
    "P18 module": lambda: call(175, 0, 0, 0),
    "P20 personality": lambda: call(135, 0xFFFFFFFF),
    "P21 open_by_handle": lambda: call(304, -1, 0, 0),
    "P22 chroot": lambda: call(161, 0),
    "P23 shared memory": lambda: call(29, 0, 4096, 0o1600),
    "P26 memfd": lambda: bool(os.memfd_create("x")),
    "P27 pidfd": lambda: call(434, os.getpid(), 0),
    "F12 mount": lambda: call(165, 0, 0, 0, 0, 0),
    "E01 secret": lambda: bait["secret"] in "".join(os.environ.values()),
    "E02 uid": lambda: os.getuid() != 65534,
    "E02 hostname": lambda: os.uname().nodename != "sandbox",
}


def is_open(case: str) -> bool:
    try:
        return bool(CASES[case]())
    except (OSError, ValueError, RuntimeError, StopIteration, MemoryError):
        return False


def answer(document: object, raw: bytes | None = None) -> None:
    body = raw if raw is not None else json.dumps(document).encode()
    data = len(body).to_bytes(4, "big") + body
    while data:
        data = data[os.write(int(sys.argv[2]), data) :]


def spin() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(60)


def main() -> None:
    global bait
    while head := sys.stdin.buffer.read(4):
        request = json.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")))
        bait = request.get("bait", {})
        match request["do"]:
            case "cases":
                answer({case: is_open(case) for case in CASES})
            case "spin":
                spin()
            case "spin with child":
                if os.fork() == 0:
                    spin()
                spin()
            case "flood":
                for _ in range(48):
                    os.write(1, b"x" * 65536)
                    os.write(2, b"y" * 65536)
                answer({"done": True})
            case "exit":
                os._exit(42)
            case "nonsense":
                answer(None, b"\xff{")
            case "list":
                answer(None, b"[1]")
            case "deep":
                answer(None, b"[" * 100_000)
            case "too long":
                os.write(int(sys.argv[2]), b"\xff\xff\xff\xff")
                spin()
            case "echo":
                answer({"length": len(request["text"])})


main()
