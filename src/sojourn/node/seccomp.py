"""The system calls that a computation needs, as a BPF filter; every other one is answered as if the kernel lacked it.

An allow list: arithmetic on memory, reading of files, threads of its own process, time, random numbers. It has no
sockets, no processes (fork, and clone without CLONE_THREAD), no tracing, no keys, no mounts, no namespaces.
"""

from __future__ import annotations

import errno
import os
from types import ModuleType

from sojourn.errors import SandboxUnavailable

_CLONE_THREAD = 0x00010000
_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 15, 16, 0x53564D41
_TCGETS, _TIOCGWINSZ, _FIONREAD, _FIOCLEX, _FIONBIO = 0x5401, 0x5413, 0x541B, 0x5451, 0x5421

_MEMORY = "brk mmap munmap mprotect mremap madvise mincore msync membarrier"
_FILES = (
    "read readv pread64 preadv write writev pwrite64 close close_range dup dup2 dup3 fcntl lseek open openat stat "
    "fstat lstat newfstatat statx fstatfs statfs access faccessat faccessat2 readlink readlinkat getdents64 getcwd "
    "chdir fchdir fadvise64"
)
_PROGRAM = (
    "execve arch_prctl set_tid_address set_robust_list get_robust_list rseq exit exit_group futex futex_waitv "
    "sched_yield sched_getaffinity sched_getparam sched_getscheduler wait4 waitid restart_syscall"
)
_SIGNALS = (
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigpending sigaltstack tgkill tkill kill"
)
_WAITING = (
    "poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 pipe pipe2 nanosleep "
    "clock_nanosleep alarm setitimer getitimer"
)
_ITSELF = (
    "getpid gettid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getgroups getresuid getresgid uname "
    "sysinfo times getrusage getrlimit prlimit64 setrlimit getcpu getrandom clock_gettime clock_getres gettimeofday "
    "time"
)
ALLOWED = tuple(" ".join((_MEMORY, _FILES, _PROGRAM, _SIGNALS, _WAITING, _ITSELF)).split())


def filter_descriptor() -> int:
    """An open descriptor of the compiled filter, for bwrap's --seccomp; the caller closes it.

    SandboxUnavailable where libseccomp is missing.
    """
    seccomp = _library()
    rules = seccomp.SyscallFilter(defaction=seccomp.ERRNO(errno.ENOSYS))
    for name in ALLOWED:
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, OSError, ValueError):
            continue  # not a call of this architecture
    rules.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD))
    for option in (_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA):
        rules.add_rule(seccomp.ALLOW, "prctl", seccomp.Arg(0, seccomp.EQ, option))
    for request in (_TCGETS, _TIOCGWINSZ, _FIONREAD, _FIOCLEX, _FIONBIO):
        rules.add_rule(seccomp.ALLOW, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        rules.export_bpf(file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _library() -> ModuleType:
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError):
        raise SandboxUnavailable(
            "libseccomp is missing.", remedy="Install it, e.g. `apt install libseccomp2`, and start the node again."
        ) from None
    library: ModuleType = pyseccomp
    return library
