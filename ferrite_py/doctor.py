"""`ferrite-py doctor`: does this machine suit the configuration?

Each check looks at one thing and returns findings; a finding that is not ok says what to do.
"""

import contextlib
import ctypes
import errno
import importlib
import os
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ferrite_py import event_bus
from ferrite_py.ceiling import too_large_sizes, too_low
from ferrite_py.certificates import make_context
from ferrite_py.config import Config
from ferrite_py.doctor_collector import check_collectors
from ferrite_py.errors import StartupError
from ferrite_py.file_limit import RESERVED_FILES
from ferrite_py.findings import Finding, Host
from ferrite_py.logs import STDOUT
from ferrite_py.unclean import set_aside

_MIB = 1 << 20
_SYS_IO_URING_SETUP = 425  # the same on all architectures
_READONLY_PARTS, _POOL_PARTS = 10, 108  # native/store/tier.c
_SEGMENT_MIN, _SEGMENT_AUTO = 64 << 10, 4 << 20


def this_host() -> Host:
    """The machine that this process runs on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    memlock = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return Host(Path("/"), soft, hard, memlock, _io_uring_errno(), dict(os.environ))


def _io_uring_errno() -> int:
    """Ask for a ring without saying what it is to be like: who may have one is told EFAULT."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall(ctypes.c_long(_SYS_IO_URING_SETUP), ctypes.c_uint(1), None)
    code = ctypes.get_errno()
    return 0 if code == errno.EFAULT else code


def examine(config: Config, host: Host) -> list[Finding]:
    """Run all checks. The ports are bound for a moment; nothing else is changed."""
    checks: tuple[Callable[[Config, Host], Iterator[Finding]], ...] = (
        _native,
        _uvloop,
        _files,
        _memory,
        _ceiling,
        _event_bus,
        _overcommit,
        _huge_pages,
        _memlock,
        _backlog,
        _ports,
        _unix_socket,
        _log_file,
        check_collectors,
        _tls,
        _data_dir,
        _data_space,
        _data_files,
        _unclean_stops,
        _disk_engine,
    )
    return [finding for check in checks for finding in check(config, host)]


def _native(_config: Config, _host: Host) -> Iterator[Finding]:
    try:
        importlib.import_module("ferrite_py._native")
    except ImportError as error:
        remedy = "build it with `pip install .` or `make build`"
        yield Finding("fail", "native extension", str(error), remedy)
    else:
        yield Finding("ok", "native extension", "can be imported")


def _uvloop(_config: Config, _host: Host) -> Iterator[Finding]:
    try:
        importlib.import_module("uvloop")
    except ImportError as error:
        remedy = "`pip install uvloop`; asyncio's own loop is slower"
        yield Finding("warn", "uvloop", str(error), remedy)
    else:
        yield Finding("ok", "uvloop", "can be imported")


def _files(config: Config, host: Host) -> Iterator[Finding]:
    needed = config.server.max_connections + RESERVED_FILES
    wanted = f"server.max_connections needs {needed}"
    if host.files_soft < 0 or host.files_soft >= needed:
        yield Finding("ok", "open files", f"the limit is {_limit(host.files_soft)}, {wanted}")
    elif host.files_hard < 0 or host.files_hard >= needed:
        message = f"the soft limit is {host.files_soft}, {wanted}"
        remedy = f"`ulimit -n {needed}`, or LimitNOFILE={needed} in the service"
        yield Finding("warn", "open files", message, remedy)
    else:
        message = f"the hard limit is {host.files_hard}, {wanted}"
        remedy = f"raise it (LimitNOFILE={needed}) or lower server.max_connections"
        yield Finding("fail", "open files", message, remedy)


def _limit(value: int) -> str:
    return "none" if value < 0 else str(value)


def _memory(config: Config, host: Host) -> Iterator[Finding]:
    wanted = config.storage.max_memory
    total, available = _meminfo(host, "MemTotal"), _meminfo(host, "MemAvailable")
    cgroup = _cgroup_memory(host)
    bounds = [bound for bound in (total, cgroup) if bound is not None]
    if not bounds:
        yield Finding("warn", "memory", "/proc/meminfo cannot be read", "check it by hand")
        return
    ceiling = min(bounds)
    owner = "this control group may use" if ceiling == cgroup else "this machine has"
    has = f"{owner} {ceiling // _MIB} MiB"
    if wanted == 0:
        remedy = "set storage.max_memory below that, or the kernel may end the server"
        yield Finding("warn", "memory", f"storage.max_memory is no limit, {has}", remedy)
    elif wanted > ceiling:
        message = f"storage.max_memory is {wanted // _MIB} MiB, {has}"
        yield Finding("fail", "memory", message, "lower storage.max_memory")
    elif available is not None and wanted > available:
        message = f"storage.max_memory is {wanted // _MIB} MiB, {available // _MIB} MiB are free"
        yield Finding("warn", "memory", message, "lower storage.max_memory or free memory")
    else:
        yield Finding("ok", "memory", f"storage.max_memory is {wanted // _MIB} MiB, {has}")


def _ceiling(config: Config, host: Host) -> Iterator[Finding]:
    storage = config.storage
    low = too_low(storage, host.own) if host.own is not None else ""
    if low:
        remedy = "raise it, or look for a missing unit (gb, mb)"
        yield Finding("warn", "memory limit", low, remedy)
    large = too_large_sizes(storage)
    if large:
        yield Finding("warn", "memory limit", large, 'lower the sizes, or set them to "auto"')


def _event_bus(config: Config, host: Host) -> Iterator[Finding]:
    limit = config.storage.max_memory
    if limit == 0 or not event_bus.is_used(config, host.environ):
        return
    wrong, told = event_bus.warning(config, host.environ), event_bus.told(config)
    if wrong is None:
        yield Finding("ok", "event bus", told)
        return
    remedy = 'set telemetry.event_bus_queue_size = "auto", or raise storage.max_memory'
    is_all = event_bus.bytes_of_all(config) >= limit
    message = f"{told}: every write will be refused" if is_all else told
    yield Finding("fail" if is_all else "warn", "event bus", message, remedy)


def _meminfo(host: Host, name: str) -> int | None:
    for line in host.read("proc/meminfo").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None


def _cgroup_memory(host: Host) -> int | None:
    """The lowest memory limit of this process's control groups, both versions; None for none."""
    limits: list[int] = []
    for line in host.read("proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base, name = "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in group.split("/") if part]
        folders = ["/".join([base, *parts[:depth]]) for depth in range(len(parts) + 1)]
        texts = [host.read(f"{folder}/{name}") for folder in folders]
        limits += [int(text) for text in texts if text.isdigit()]
    # The first version writes "no limit" as a number near 2**63.
    return min((limit for limit in limits if limit < 2**60), default=None)


def _overcommit(_config: Config, host: Host) -> Iterator[Finding]:
    mode = host.read("proc/sys/vm/overcommit_memory")
    if mode == "2":
        message = "vm.overcommit_memory is 2: memory is refused before it is used up"
        yield Finding("warn", "overcommit", message, "`sysctl vm.overcommit_memory=0`")
    elif mode:
        yield Finding("ok", "overcommit", f"vm.overcommit_memory is {mode}")
    else:
        yield Finding("warn", "overcommit", "cannot be read", "check vm.overcommit_memory by hand")


def _huge_pages(_config: Config, host: Host) -> Iterator[Finding]:
    path = "sys/kernel/mm/transparent_hugepage/enabled"
    text = host.read(path)
    if "[always]" in text:
        message = "transparent huge pages are always used: memory is taken in larger steps"
        yield Finding("warn", "huge pages", message, f"`echo madvise > /{path}`")
    else:
        mode = text.partition("[")[2].partition("]")[0] or "not available"
        yield Finding("ok", "huge pages", f"transparent huge pages: {mode}")


def _memlock(config: Config, host: Host) -> Iterator[Finding]:
    limit = "none" if host.memlock_bytes < 0 else f"{host.memlock_bytes // 1024} KiB"
    storage = config.storage
    auto = storage.max_memory * _READONLY_PARTS // _POOL_PARTS
    wanted = storage.hybridlog_readonly_size or auto
    if not storage.data_dir or not storage.lock_memory or not wanted:
        yield Finding("ok", "locked memory", f"the limit is {limit}; the server locks none")
        return
    message = f"the limit is {limit}; files take up to {wanted // 1024} KiB of memory"
    if 0 <= host.memlock_bytes < wanted:
        message += ", and what is not locked may have to be read again"
        remedy = f"raise it (ulimit -l, LimitMEMLOCK={wanted}), or set storage.lock_memory = false"
        yield Finding("warn", "locked memory", message, remedy)
    else:
        yield Finding("ok", "locked memory", message)


def _backlog(config: Config, host: Host) -> Iterator[Finding]:
    text = host.read("proc/sys/net/core/somaxconn")
    wanted = config.server.tcp_backlog
    if text.isdigit() and int(text) < wanted:
        message = f"net.core.somaxconn is {text}, server.tcp_backlog is {wanted}"
        yield Finding("warn", "backlog", message, f"`sysctl net.core.somaxconn={wanted}`")
    elif text.isdigit():
        yield Finding("ok", "backlog", f"net.core.somaxconn is {text}")


def _ports(config: Config, _host: Host) -> Iterator[Finding]:
    for key, port in (("server.port", config.server.port), ("tls.port", config.tls.port)):
        for address in config.server.bind if port else ():
            yield _port(key, address, port)
    metrics = config.metrics
    if metrics.enabled and metrics.port:
        yield _port("metrics.port", metrics.bind, metrics.port)


def _port(key: str, address: str, port: int) -> Finding:
    is_optional = address.startswith("-")
    host = address.removeprefix("-")
    place = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
    try:
        _try_bind("0.0.0.0" if host == "*" else "::" if host == "::*" else host, port)
    except OSError as error:
        if is_optional and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return Finding("ok", key, f"{place} is not on this machine, and optional")
        reason = error.strerror or str(error)
        return Finding("fail", key, f"{place}: {reason}", _bind_remedy(error, key))
    return Finding("ok", key, f"{place} is free")


def _try_bind(host: str, port: int) -> None:
    """Bind as the server would, and let go. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        probe.bind(address)
        probe.listen(1)


def _bind_remedy(error: OSError, key: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"stop the server that uses it, or change {key}"
    if error.errno == errno.EACCES:
        return f"use a port from 1024 for {key}, or grant CAP_NET_BIND_SERVICE"
    return "correct metrics.bind" if key == "metrics.port" else "correct server.bind"


def _unix_socket(config: Config, _host: Host) -> Iterator[Finding]:
    if not config.server.unix_socket:
        return
    path = Path(config.server.unix_socket)
    subject = "server.unix_socket"
    if _has_listener(path):
        yield Finding("fail", subject, f"{path} is in use", "stop its server or change the path")
    elif not os.access(path.parent, os.W_OK | os.X_OK):
        remedy = "create the folder, or give the server the right to write there"
        yield Finding("fail", subject, f"{path.parent} cannot be written", remedy)
    else:
        yield Finding("ok", subject, f"{path} is free")


def _has_listener(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def _log_file(config: Config, _host: Host) -> Iterator[Finding]:
    if config.logging.file in ("", STDOUT):
        return
    path = Path(config.logging.file)
    if os.access(path if path.exists() else path.parent, os.W_OK) and not path.is_dir():
        yield Finding("ok", "logging.file", f"{path} can be written")
    else:
        remedy = "create its folder, or give the server the right to write there"
        yield Finding("fail", "logging.file", f"{path} cannot be written", remedy)


def tls(config: Config) -> Iterator[Finding]:
    """Whether the server could start with the files below [tls]."""
    if not config.tls.port:
        return
    try:
        make_context(config.tls)
    except StartupError as error:
        subject, _, message = str(error).partition(": ")
        yield Finding("fail", subject, message, "check the paths and the files below [tls]")
    else:
        yield Finding("ok", "tls", "the certificates can be loaded")


def _tls(config: Config, _host: Host) -> Iterator[Finding]:
    yield from tls(config)


# The data folder


def _data_folder(config: Config) -> Path | None:
    """The data folder, or the one that it will be made in; None without one, or without either."""
    path = Path(config.storage.data_dir)
    if not config.storage.data_dir:
        return None
    return next((folder for folder in (path, path.parent) if folder.is_dir()), None)


def _data_dir(config: Config, _host: Host) -> Iterator[Finding]:
    subject, path = "storage.data_dir", config.storage.data_dir
    if not path:
        return
    folder = _data_folder(config)
    if folder is None or (Path(path).exists() and not Path(path).is_dir()):
        remedy = "create the folder above it, or name another"
        yield Finding("fail", subject, f"{path} cannot be made: no folder is there", remedy)
        return
    try:
        is_direct = _takes_direct(folder)
    except OSError as error:
        remedy = "give the server the right to write there"
        yield Finding("fail", subject, f"{folder}: {error.strerror}", remedy)
        return
    yield Finding("ok", subject, f"{path} can be written")
    if is_direct:
        yield Finding("ok", "direct reads", f"{folder} can be read past the page cache (O_DIRECT)")
    else:
        message = f"{folder} cannot be read past the page cache (O_DIRECT)"
        remedy = "use ext4 or xfs; else what is read also fills the kernel's cache"
        yield Finding("warn", "direct reads", message, remedy)


def _takes_direct(folder: Path) -> bool:
    """Whether a file there can be opened for direct reads. Raises OSError when none can be made."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())
        try:
            fd = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_DIRECT)
        except OSError:
            return False
        os.close(fd)
        return True


def _data_space(config: Config, _host: Host) -> Iterator[Finding]:
    folder, wanted = _data_folder(config), config.storage.max_disk
    if folder is None:
        return
    free = _free_bytes(folder)
    used = sum(file.stat().st_size for file in Path(config.storage.data_dir).glob("log/*.seg"))
    has = f"{(free + used) // _MIB} MiB are free there"
    if wanted == 0:
        remedy = "set storage.max_disk; a full disk makes the server evict keys or refuse writes"
        yield Finding("warn", "disk space", f"storage.max_disk is no limit, {has}", remedy)
    elif wanted > free + used:
        message = f"storage.max_disk is {wanted // _MIB} MiB, {has}"
        yield Finding("fail", "disk space", message, "lower storage.max_disk or free space")
    else:
        yield Finding("ok", "disk space", f"storage.max_disk is {wanted // _MIB} MiB, {has}")


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _segment_bytes(config: Config) -> int:
    """The size that most segment files have; the log makes larger ones as it grows."""
    storage = config.storage
    size = storage.segment_size or _SEGMENT_AUTO
    mutable = storage.hybridlog_mutable_size or storage.max_memory // 5
    if storage.max_memory:
        size = min(size, storage.max_memory // 128)
    if mutable:
        size = min(size, mutable // 8)
    return max(_SEGMENT_MIN, 1 << (size.bit_length() - 1) if size else 0)


def _data_files(config: Config, host: Host) -> Iterator[Finding]:
    folder = _data_folder(config)
    if folder is None:
        return
    room = config.storage.max_disk or _free_bytes(folder)
    files = room // _segment_bytes(config)
    needed = files + config.server.max_connections + RESERVED_FILES
    wanted = f"{files} segment files and server.max_connections need {needed}"
    limit = host.files_hard
    if limit < 0 or limit >= needed:
        yield Finding("ok", "segment files", f"the limit is {_limit(limit)}, {wanted}")
    else:
        message = f"the hard limit of open files is {limit}, {wanted}"
        remedy = f"raise it (LimitNOFILE={needed}), or lower storage.max_disk"
        yield Finding("warn", "segment files", message, remedy)


def _unclean_stops(config: Config, _host: Host) -> Iterator[Finding]:
    folder = config.storage.data_dir
    count, size = set_aside(Path(folder)) if folder else (0, 0)
    if count > 0:
        message = f"{count} folders {folder}/log.unclean-* take {size // _MIB} MiB"
        yield Finding("warn", "unclean stops", message, "remove those that you do not need")


def _disk_engine(config: Config, host: Host) -> Iterator[Finding]:
    if not config.storage.data_dir:
        return
    subject, wanted, code = "disk engine", config.storage.disk_engine, host.io_uring_errno
    if wanted == "threads":
        yield Finding("ok", subject, "threads, as storage.disk_engine says")
    elif code == 0:
        yield Finding("ok", subject, "io_uring")
    else:
        message = f"io_uring is refused: {os.strerror(code)}"
        remedy = "`sysctl kernel.io_uring_disabled=0`, or let the container's filter allow it"
        if wanted == "auto":
            yield Finding("warn", subject, f"{message}; reads go through threads", remedy)
        else:
            yield Finding("fail", subject, message, f'{remedy}; or storage.disk_engine = "auto"')
